"""A chain computes what its members compute one by one, on every processor, in blocks of any size."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from lwps.core import Eqn, Program, ShapedArray, Var, check_program, evaluate_program
from lwps.ops import elementwise as ew
from lwps.ops import fused
from lwps.ops.fused import fused_p
from tests.places import on_each_device, run

FLOAT_OPS = (ew.add_p, ew.sub_p, ew.maximum_p, ew.minimum_p)
UNARY_OPS = (ew.neg_p, ew.relu_p, ew.copy_p)
CHOICES = ("binary", "binary", "scaled", "unary", "number", "where", "flag", "repeated")


class _Chain:
    """Eqns of one shape over inputs that broadcast to it.

    Values are whole numbers and grow at most fourfold an eqn: up to ten eqns stay exact in float32, in
    whatever way a compiler contracts them.
    """

    def __init__(self, draw, shape):
        self.draw, self.shape = draw, shape
        self.inputs = [Var(ShapedArray(self.part(), "float32")) for _ in range(draw(st.integers(1, 3)))]
        self.eqns = []
        self.values = [self.bind(ew.broadcast_to_p, self.inputs[0], shape=shape)]

    def part(self):
        """A shape that broadcasts to the chain's."""
        kept = tuple(n if self.draw(st.booleans()) else 1 for n in self.shape)
        return kept[self.draw(st.integers(0, len(kept))) :] if self.draw(st.booleans()) else kept

    def bind(self, primitive, *ins, **params):
        (aval,) = primitive.aval(*(v.aval for v in ins), **params)
        out = Var(aval)
        self.eqns.append(Eqn(primitive, ins, (out,), params))
        return out

    def pick(self, values):
        return self.draw(st.sampled_from(values))

    def grow(self):
        kind, value = self.pick(CHOICES), self.pick(self.values)
        if kind == "binary":
            new = self.bind(
                self.pick(FLOAT_OPS), *self.draw(st.permutations([value, self.pick([*self.values, *self.inputs])]))
            )
        elif kind == "scaled":
            new = self.bind(ew.mul_p, value, self.pick(self.inputs))
        elif kind == "unary":
            new = self.bind(self.pick(UNARY_OPS), value)
        elif kind == "repeated":
            new = self.bind(ew.broadcast_to_p, self.pick(self.inputs), shape=self.shape)
        elif kind == "number":
            number = self.bind(ew.full_p, shape=self.pick([(), self.shape]), value=2.0, dtype="float32")
            new = self.bind(ew.sub_p, value, number)
        elif kind == "where":
            flag = self.bind(ew.less_p, value, self.pick(self.inputs))
            new = self.bind(ew.where_p, flag, self.pick([value, self.pick(self.inputs)]), self.pick(self.values))
        else:
            new = self.bind(ew.astype_p, self.bind(ew.greater_equal_p, value, self.pick(self.inputs)), dtype="float32")
        self.values.append(new)


@st.composite
def chains(draw, max_side=12):
    """A body with one or more results, and inputs for it."""
    chain = _Chain(draw, draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=max_side)))
    for _ in range(draw(st.integers(1, 6))):
        chain.grow()
    written = [e.outs[0] for e in chain.eqns if e.primitive is not ew.full_p]
    outputs = [*draw(st.sets(st.sampled_from(written[:-1]), max_size=2)), written[-1]]
    body = Program(tuple(chain.inputs), tuple(chain.eqns), tuple(dict.fromkeys(outputs)))
    check_program(body)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return body, [rng.integers(-4, 5, v.aval.shape).astype(np.float32) for v in body.inputs]


def assert_same(body, ins, results):
    for got, want in zip(results, evaluate_program(body, ins), strict=True):
        np.testing.assert_array_equal(got, want, strict=True)


@on_each_device
@given(case=chains())
def test_a_chain_on_a_device_equals_its_members_one_by_one(place, case):
    body, ins = case
    assert_same(body, ins, run(fused_p, *ins, place=place, body=body))


@pytest.mark.parametrize("block", [1, 50, 1 << 16])
@pytest.mark.parametrize("long", [1, 1000])
@given(case=chains())
def test_a_chain_on_the_host_equals_its_members_in_blocks_of_any_size(block, long, case):
    body, ins = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "BLOCK", block)
        patch.setattr(fused, "LONG", long)
        assert_same(body, ins, fused_p.bind(*ins, body=body))


@pytest.mark.parametrize("block", [7, 1 << 16])
@given(case=chains())
def test_a_result_may_lie_on_the_input_that_it_may_take_over(block, case):
    body, ins = case
    want = evaluate_program(body, ins)
    for row in fused_p.alias(*(v.aval for v in body.inputs), body=body):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fused, "BLOCK", block)
            fused._plan.cache_clear()
            arrays = [x.copy() for x in ins]
            outs = [np.empty(v.aval.shape, v.aval.dtype) for v in body.outputs]
            outs[row.out] = arrays[row.inp]
            scratch = [
                np.empty(a.shape, a.dtype) for a in fused_p.numpy.scratch(*(v.aval for v in body.inputs), body=body)
            ]
            fused_p.numpy.run(*outs, *arrays, *scratch, body=body)
        for got, expected in zip(outs, want, strict=True):
            np.testing.assert_array_equal(got, expected)


def straight(n, length):
    """A chain of `length` sums over n elements."""
    x = Var(ShapedArray((n,), "float32"))
    eqns, value = [], x
    for _ in range(length):
        out = Var(x.aval)
        eqns.append(Eqn(ew.add_p, (value, x), (out,), {}))
        value = out
    return Program((x,), tuple(eqns), (value,))


def test_values_that_are_dead_give_their_block_to_later_ones():
    body = straight(1_000_000, 12)
    scratch = fused_p.numpy.scratch(body.inputs[0].aval, body=body)
    assert [a.shape for a in scratch] == [(fused.BLOCK,)] * 2


def test_the_host_allocates_nothing_of_size():
    body = straight(1_000_000, 5)
    x = np.ones(1_000_000, np.float32)
    out = np.empty_like(x)
    scratch = [np.empty(a.shape, a.dtype) for a in fused_p.numpy.scratch(body.inputs[0].aval, body=body)]
    fused_p.numpy.run(out, x, *scratch, body=body)
    tracemalloc.start()
    fused_p.numpy.run(out, x, *scratch, body=body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


def test_an_input_read_again_behind_the_writer_is_not_taken_over():
    x, y, z = (Var(ShapedArray((3,), "float32")) for _ in range(3))
    body = Program((x,), (Eqn(ew.neg_p, (x,), (y,), {}), Eqn(ew.add_p, (x, y), (z,), {})), (y, z))
    assert [(row.out, row.inp) for row in fused_p.alias(x.aval, body=body)] == [(1, 0)]


def test_the_cost_is_all_flops_and_the_bytes_of_what_goes_in_and_out():
    body = straight(100, 5)
    cost = fused_p.cost(body.inputs[0].aval, body=body)
    assert (cost.flops, cost.nbytes) == (500, 800)


def test_inputs_of_other_avals_are_refused():
    with pytest.raises(TypeError, match=r"fused: inputs must be those of its body .* got \(float32\[4\],\)"):
        fused_p.bind(np.ones(4, np.float32), body=straight(3, 1))
