"""Elementwise primitives on every processor against NumPy in float64, their vjp rules, promotion and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

from lwps import tracing
from lwps.core import Eqn, Program, ShapedArray, Var, aval_of
from lwps.ops import elementwise as ew
from lwps.ops.fused import fused_p
from tests.places import on_each_place, on_each_processor, run

seeds = st.integers(0, 2**32 - 1)
shapes = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=19)  # 19: two vectors of 8 and a rest
pairs = mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=11).map(lambda found: found.input_shapes)
triples = mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=11).map(lambda found: found.input_shapes)

UNARY = {  # primitive, reference, range
    "neg": (ew.neg_p, np.negative, -1e6, 1e6),
    "exp": (ew.exp_p, np.exp, -86, 88),  # float32 overflows at 88.7; below -87 results are denormal
    "log": (ew.log_p, np.log, 1e-30, 1e6),
    "sqrt": (ew.sqrt_p, np.sqrt, 0, 1e12),
    "rsqrt": (ew.rsqrt_p, lambda x: 1 / np.sqrt(x), 1e-6, 1e6),
    "tanh": (ew.tanh_p, np.tanh, -15, 15),  # 15: float32 has long become 1
    "relu": (ew.relu_p, lambda x: np.maximum(x, 0), -10, 10),
    "copy": (ew.copy_p, lambda x: x, -1e6, 1e6),
    "stop_gradient": (ew.stop_gradient_p, lambda x: x, -1e6, 1e6),
}
BINARY = {
    "add": (ew.add_p, np.add),
    "sub": (ew.sub_p, np.subtract),
    "mul": (ew.mul_p, np.multiply),
    "div": (ew.div_p, np.divide),
    "maximum": (ew.maximum_p, np.maximum),
    "minimum": (ew.minimum_p, np.minimum),
}
COMPARISONS = {
    "equal": (ew.equal_p, np.equal),
    "not_equal": (ew.not_equal_p, np.not_equal),
    "less": (ew.less_p, np.less),
    "less_equal": (ew.less_equal_p, np.less_equal),
    "greater": (ew.greater_p, np.greater),
    "greater_equal": (ew.greater_equal_p, np.greater_equal),
}
LOGICAL = {"logical_and": (ew.logical_and_p, np.logical_and), "logical_or": (ew.logical_or_p, np.logical_or)}
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 3.5], np.float32)


def uniform(seed, shape, low, high):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def run_together(primitives, *ins, place, params=None):
    """The result of each primitive on the same inputs, by one chain: one kernel to build instead of many."""
    in_vars = tuple(Var(aval_of(x)) for x in ins)
    eqns = []
    for primitive, own in zip(primitives, params or [{}] * len(primitives), strict=True):
        (aval,) = primitive.aval(*map(aval_of, ins), **own)
        eqns.append(Eqn(primitive, in_vars, (Var(aval),), own))
    body = Program(in_vars, tuple(eqns), tuple(e.outs[0] for e in eqns))
    return run(fused_p, *ins, place=place, body=body)


# --- values ---------------------------------------------------------------------------------------


@on_each_processor
@pytest.mark.parametrize("name", UNARY)
@given(shape=shapes, seed=seeds)
def test_unary_matches_the_float64_reference(processor, name, shape, seed):
    primitive, reference, low, high = UNARY[name]
    x = uniform(seed, shape, low, high)
    (y,) = run(primitive, x, place=processor)
    assert (y.shape, y.dtype) == (shape, np.float32)
    np.testing.assert_allclose(y, reference(x.astype(np.float64)), rtol=1e-6, atol=1e-37)


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_binary_matches_the_float64_reference(processor, shape, seed):
    x, y = (uniform(seed + k, shape, 0.1, 1e3) for k in range(2))
    results = run_together([primitive for primitive, _ in BINARY.values()], x, y, place=processor)
    for (name, (_, reference)), z in zip(BINARY.items(), results, strict=True):
        want = reference(x.astype(np.float64), y.astype(np.float64))
        np.testing.assert_allclose(z, want, rtol=1e-6, atol=1e-4 if name == "sub" else 0, err_msg=name)


@on_each_place
@given(shapes=pairs, seed=seeds)
def test_inputs_broadcast_as_in_numpy(place, shapes, seed):
    x, y = (uniform(seed + k, s, -1, 1) for k, s in enumerate(shapes))
    (z,) = run(ew.sub_p, x, y, place=place)
    np.testing.assert_array_equal(z, x - y)


@on_each_processor
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32"])
def test_integers_are_exact_and_wrap_as_in_numpy(processor, dtype):
    ops = {name: row for name, row in {**BINARY, **COMPARISONS}.items() if name != "div"}
    rng = np.random.default_rng(0)
    low = -1000 if dtype == "int32" else 0  # signed overflow is undefined in OpenCL C
    x, y = (rng.integers(low, 256 if dtype == "uint8" else 2000, (3, 41)).astype(dtype) for _ in range(2))
    results = run_together([primitive for primitive, _ in ops.values()], x, y, place=processor)
    for (name, (_, reference)), z in zip(ops.items(), results, strict=True):
        np.testing.assert_array_equal(z, reference(x, y), err_msg=name, strict=True)


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_comparisons_give_bool(processor, shape, seed):
    x, y = (np.round(uniform(seed + k, shape, -2, 2)) for k in range(2))  # few values: many are equal
    results = run_together([primitive for primitive, _ in COMPARISONS.values()], x, y, place=processor)
    for (name, (_, reference)), z in zip(COMPARISONS.items(), results, strict=True):
        assert z.dtype == np.bool_
        np.testing.assert_array_equal(z, reference(x, y), err_msg=name)


@on_each_processor
def test_logical_ops(processor):
    x, y = np.array([True, True, False, False]), np.array([True, False, True, False])
    both, either = run_together([ew.logical_and_p, ew.logical_or_p], x, y, place=processor)
    np.testing.assert_array_equal(both, x & y)
    np.testing.assert_array_equal(either, x | y)
    np.testing.assert_array_equal(run(ew.logical_not_p, x, place=processor)[0], ~x)


@on_each_processor
def test_nan_and_infinities_come_out_as_in_numpy(processor):
    pairs = np.repeat(SPECIAL, len(SPECIAL)), np.tile(SPECIAL, len(SPECIAL))
    with np.errstate(all="ignore"):
        for ops, ins in ((UNARY, (SPECIAL,)), ({**BINARY, **COMPARISONS}, pairs)):
            results = run_together([row[0] for row in ops.values()], *ins, place=processor)
            for (name, row), y in zip(ops.items(), results, strict=True):
                np.testing.assert_allclose(y, row[1](*ins), rtol=1e-6, err_msg=name)


@on_each_place
@pytest.mark.parametrize("shapes", [((3, 41),) * 3, ((3, 1), (3, 41), (41,)), ((41,), (), (3, 1))], ids=str)
def test_where_chooses_by_element(place, shapes):
    cond = uniform(0, shapes[0], 0, 1) < 0.5
    x, y = uniform(1, shapes[1], -1, 1), uniform(2, shapes[2], -1, 1)
    (z,) = run(ew.where_p, cond, x, y, place=place)
    np.testing.assert_array_equal(z, np.where(cond, x, y))


def test_where_keeps_the_other_side_from_what_it_does_not_choose():
    z = ew.where(np.array([True, False]), np.array([1.0, np.nan]), np.array([np.inf, 2.0]))
    np.testing.assert_array_equal(z, [1, 2])


@on_each_processor
@pytest.mark.parametrize("source", ew.C_TYPES)
def test_astype_converts_as_numpy(processor, source):
    for values in ([0, 1, 2, 3.75, 200], [-1, -3.75, 0.5]):
        targets = [t for t in ew.C_TYPES if min(values) >= 0 or "u" not in t]
        if min(values) < 0 and (source == "bool" or "u" in source):
            continue
        x = np.array(values).astype(source)
        params = [{"dtype": t} for t in targets]
        results = run_together([ew.astype_p] * len(targets), x, place=processor, params=params)
        for target, y in zip(targets, results, strict=True):
            np.testing.assert_array_equal(y, x.astype(target), strict=True)


@on_each_processor
@given(shapes=pairs, seed=seeds)
def test_broadcast_to_repeats(processor, shapes, seed):
    x = uniform(seed, shapes[0], -1, 1)
    shape = np.broadcast_shapes(*shapes)
    (y,) = run(ew.broadcast_to_p, x, place=processor, shape=shape)
    np.testing.assert_array_equal(y, np.broadcast_to(x, shape))


@on_each_processor
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (0.1, "float32"),
        (-np.inf, "float32"),
        (np.nan, "float32"),
        (1e-42, "float32"),
        (-(2**31), "int32"),
        (2**32 - 1, "uint32"),
        (255, "uint8"),
        (True, "bool"),
    ],
)
def test_full_holds_exactly_the_number(processor, value, dtype):
    (y,) = run(ew.full_p, place=processor, shape=(2, 3), value=value, dtype=dtype)
    np.testing.assert_array_equal(y, np.full((2, 3), value, dtype))


# --- vjp rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in UNARY if n != "stop_gradient"])
@given(shape=shapes, seed=seeds)
def test_vjp_of_unary_matches_differences(check_vjp, name, shape, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2, shape)  # away from relu's corner and from log's end
    if name in ("relu", "neg", "tanh"):
        x *= rng.choice((-1, 1), shape)
    check_vjp(UNARY[name][0], x, seed=seed)


@pytest.mark.parametrize("name", BINARY)
@given(shapes=pairs, seed=seeds)
def test_vjp_of_binary_matches_differences(check_vjp, name, shapes, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.5, 2, shapes[0]), rng.uniform(0.5, 2, shapes[1])
    gap = np.min(np.abs(x - y), initial=1) if x.size and y.size else 1
    if gap > 1e-4:  # differences across the corner of maximum say nothing
        check_vjp(BINARY[name][0], x, y, seed=seed)


@given(shapes=triples, seed=seeds)
def test_vjp_of_where_matches_differences(check_vjp, shapes, seed):
    rng = np.random.default_rng(seed)
    check_vjp(ew.where_p, rng.random(shapes[0]) < 0.5, rng.random(shapes[1]), rng.random(shapes[2]), seed=seed)


@given(shapes=pairs, seed=seeds)
def test_vjp_of_broadcast_to_matches_differences(check_vjp, shapes, seed):
    x = np.random.default_rng(seed).random(shapes[0])
    check_vjp(ew.broadcast_to_p, x, seed=seed, shape=np.broadcast_shapes(*shapes))


def test_vjp_of_astype_goes_back_to_the_dtype_before():
    x = np.ones(3, np.float32)
    (ct,) = ew.astype_p.vjp([np.ones(3)], (x,), (), (True,), dtype="float64")
    assert ct.dtype == np.float32
    assert ew.astype_p.vjp([np.ones(3)], (x.astype(np.int32),), (), (True,), dtype="float64") == (None,)


def test_in_a_tie_the_cotangent_goes_to_the_first():
    one = np.ones(2)
    for primitive in (ew.maximum_p, ew.minimum_p):
        to_x, to_y = primitive.vjp([one], (one, one), (one,), (True, True))
        np.testing.assert_array_equal(to_x, one)
        np.testing.assert_array_equal(to_y, 0 * one)


def test_stop_gradient_and_comparisons_give_no_cotangent():
    x = np.ones(2)
    assert ew.stop_gradient_p.vjp([x], (x,), (x,), (True,)) == (None,)
    assert ew.less_p.vjp([None], (x, x), (x,), (True, True)) == (None, None)


# --- dtypes and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "dtype"),
    [
        (np.float32(1), 2, "float32"),
        (np.ones(2, np.float32), 2.5, "float32"),
        (np.ones(2, np.float64), 2.5, "float64"),
        (np.ones(2, np.uint8), 2, "uint8"),
        (np.ones(2, np.uint8), 2.5, "float32"),
        (np.ones(2, bool), 2, "int32"),
        (np.ones(2, np.int32), np.ones(2, np.float32), "float32"),
        (np.ones(2, np.int64), 1, "int32"),  # arrays of NumPy's default integers become 32-bit
        (1, 2, "int32"),
        (1, 2.0, "float32"),
    ],
)
def test_operands_get_one_dtype_and_numbers_do_not_widen(x, y, dtype):
    z = ew.add(x, y)
    assert z.dtype == dtype
    np.testing.assert_array_equal(z, np.add(x, y))


def test_integers_divide_and_take_roots_as_floats():
    assert ew.div(np.array([1, 2]), 2).tolist() == [0.5, 1]
    assert ew.sqrt(np.array([4, 9])).dtype == np.float32
    assert ew.exp(0).item() == 1


def test_square_zeros_like_and_identities():
    x = np.arange(3.0)
    np.testing.assert_array_equal(ew.square(x), x * x)
    assert aval_of(ew.zeros_like(x)) == ShapedArray((3,), "float64")
    assert ew.astype(x, "float64") is x
    assert ew.broadcast_to(x, (3,)) is x


def test_a_traced_function_records_the_same_ops():
    program = tracing.trace(lambda x: ew.relu(ew.add(ew.mul(x, 2), 1)), ShapedArray((3,), "float32"))
    assert [eqn.primitive.name for eqn in program.eqns] == ["full", "mul", "full", "add", "relu"]


# --- aliases, splits, costs -----------------------------------------------------------------------


def test_a_result_may_take_over_only_inputs_of_its_own_aval():
    x, row = ShapedArray((4, 3), "float32"), ShapedArray((3,), "float32")
    assert [row.inp for row in ew.add_p.alias(x, x)] == [0, 1]
    assert [row.inp for row in ew.add_p.alias(row, x)] == [1]
    assert ew.less_p.alias(x, x) == ()


@pytest.mark.parametrize("overwritten", [0, 1, 2])
def test_numpy_rules_survive_the_aliases_they_declare(overwritten):
    ins = [np.array([True, False, True]), np.arange(3.0), np.arange(3.0) + 10]
    want = np.where(*ins)
    allowed = [row.inp for row in ew.where_p.alias(*map(aval_of, ins))]
    if overwritten in allowed:
        ew.where_p.numpy.run(ins[overwritten], *ins)
        np.testing.assert_array_equal(ins[overwritten], want)
    else:
        assert overwritten != 2


@given(shapes=pairs, seed=seeds)
def test_parts_of_a_split_make_the_whole(shapes, seed):
    x, y = (uniform(seed + k, s, -1, 1) for k, s in enumerate(shapes))
    (whole,) = ew.add_p.bind(x, y)
    for split in ew.add_p.split(aval_of(x), aval_of(y)):
        (axis,) = split.outs
        if whole.shape[axis] < 2:
            continue
        parts = []
        for keep in (slice(0, 1), slice(1, None)):
            cut = [v if a is None else v[(slice(None),) * a + (keep,)] for v, a in zip((x, y), split.ins, strict=True)]
            parts.append(ew.add_p.bind(*cut)[0])
        np.testing.assert_array_equal(np.concatenate(parts, axis), whole)


def test_costs_count_operations_and_bytes():
    cost = ew.add_p.cost(ShapedArray((4, 3), "float32"), ShapedArray((3,), "float32"))
    assert (cost.flops, cost.nbytes) == (12, 48 + 12 + 48)
    assert ew.full_p.cost(shape=(4,), value=0, dtype="uint8").nbytes == 4


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ew.add(np.ones(2), np.ones(3)),
            TypeError,
            r"add: shapes must broadcast together, got .*\[2\], .*\[3\]",
        ),
        (
            lambda: ew.exp_p.bind(np.ones(2, np.int32)),
            TypeError,
            r"exp: inputs must share one dtype of .*, got int32\[2\]",
        ),
        (
            lambda: ew.add_p.bind(np.ones(2), np.ones(2, np.float32)),
            TypeError,
            "add: inputs must share one dtype .* use astype",
        ),
        (lambda: ew.add(np.ones(2, np.int32), np.ones(2, np.uint32)), TypeError, "add: int32 and uint32 do not mix"),
        (lambda: ew.full((2,), 300, "uint8"), TypeError, "full: the value must fit uint8, got 300"),
        (lambda: ew.full((2,), 0.5, "int32"), TypeError, "full: the value must fit int32, got 0.5"),
        (lambda: ew.add(np.ones(2, np.uint8), -1), TypeError, "full: the value must fit uint8, got -1"),
        (lambda: ew.add(1, 2**40), TypeError, "full: the value must fit int32, got 1099511627776"),
        (lambda: ew.full((2,), np.nan, "int32"), TypeError, "full: the value must fit int32, got nan"),
        (lambda: ew.broadcast_to(np.ones(2), (3,)), TypeError, "broadcast_to: shapes must broadcast together"),
        (lambda: ew.broadcast_to(np.ones((2, 2)), (2,)), TypeError, r"broadcast_to: x must broadcast to float64\[2\]"),
        (lambda: ew.where(np.ones(2), 1, 2), TypeError, "where: the condition must be bool"),
        (lambda: ew.logical_and(np.ones(2), np.ones(2)), TypeError, "logical_and: inputs must share one dtype of bool"),
        (lambda: ew.neg(np.ones(2, np.uint8)), TypeError, "neg: inputs must share one dtype"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
