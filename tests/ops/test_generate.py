"""What the generator makes of chains: loops, texts and launches. That they compute the same is in test_fused."""

import numpy as np
import pytest

from lwps.core import Cost, Device, Eqn, Expr, Primitive, Program, ShapedArray, Var
from lwps.ops import elementwise as ew
from lwps.ops.fused import chain_of
from lwps.ops.generate import BLOCK, chain_launch, chain_source, chain_supported, loop_nest
from tests.places import on_each_device, run

CPU, GPU = Device("cpu"), Device("gpu")


def f32(*shape):
    return ShapedArray(shape, "float32")


@pytest.mark.parametrize(
    ("shape", "ins", "sizes", "moves"),
    [
        ((4, 5, 6), [(4, 5, 6)], (120,), ((True,),)),
        ((4, 5, 6), [(4, 5, 6), ()], (120,), ((True,), (False,))),
        ((4, 5, 6), [(4, 5, 6), (6,)], (20, 6), ((True, True), (False, True))),
        ((4, 5, 6), [(4, 1, 6)], (4, 5, 6), ((True, False, True),)),
        ((4, 1, 6), [(4, 1, 1), (4, 1, 6)], (4, 6), ((True, False), (True, True))),
        ((1, 1), [(1, 1)], (1,), ((False,),)),
        ((), [()], (1,), ((False,),)),
        ((3, 0), [(1, 0)], (3, 0), ((False, True),)),
    ],
)
def test_loops_merge_where_all_inputs_move_alike(shape, ins, sizes, moves):
    nest = loop_nest(shape, [f32(*s) for s in ins])
    assert (nest.sizes, nest.moves) == (sizes, moves)


def test_what_the_innermost_loop_does_not_move_is_loaded_before_it():
    source = chain_source(chain_of(ew.mul_p, [f32(4, 6), f32(4, 1)], {}), CPU)
    assert source.index("x1 = in1") < source.index("for (int x") < source.index("x0 = in0")


def test_chains_that_differ_only_in_sizes_are_one_kernel():
    first, second = (chain_source(chain_of(ew.add_p, [f32(n, 6), f32(6)], {}), CPU) for n in (4, 400))
    assert first == second


def launches(device, *shapes):
    body = chain_of(ew.add_p, [f32(*s) for s in shapes], {})
    return chain_launch(body, device, (), ())


@pytest.mark.parametrize(
    ("device", "shapes", "items"),
    [
        (CPU, [(BLOCK + 1,), (BLOCK + 1,)], 2),
        (CPU, [(1000, 64), (64,)], 1000 * 64 // BLOCK + 1),
        (CPU, [(3, 2 * BLOCK), (2 * BLOCK,)], 3),
        (GPU, [(65,), (65,)], 128),
    ],
)
def test_work_items_are_worth_starting(device, shapes, items):
    (launch,) = launches(device, *shapes)
    assert launch.global_size == (items,)


@pytest.mark.parametrize("device", [CPU, GPU])
def test_no_elements_need_no_launch(device):
    assert launches(device, (0, 3), (3,)) == ()


def test_values_of_64_bits_stay_on_the_host():
    x = ShapedArray((3,), "float64")
    assert not chain_supported(chain_of(ew.add_p, [x, x], {}))
    assert not chain_supported(chain_of(ew.astype_p, [f32(3)], {"dtype": "float64"}))


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (0.1, "float32", "(0.10000000149011612f)"),
        (1.0, "float32", "(1.0f)"),
        (-0.0, "float32", "(-0.0f)"),
        (float("inf"), "float32", "(INFINITY)"),
        (float("-inf"), "float32", "(-INFINITY)"),
        (float("nan"), "float32", "NAN"),
        (7, "uint32", "(7u)"),
        (-7, "int32", "(-7)"),
        (True, "bool", "(1)"),
    ],
)
def test_numbers_become_constants_of_their_type(value, dtype, text):
    assert ew.c_literal(value, dtype) == text


scale_p = Primitive(
    "scale",
    aval=lambda x, *, factor: (x,),
    vjp=None,
    cost=lambda x, *, factor: Cost(x.size, 2 * x.nbytes),
    numpy=lambda out, x, *, factor: np.multiply(x, np.float32(factor), out=out),
    opencl=Expr("({0} * {factor})"),
    alias=None,
    split=None,
)


@on_each_device
def test_expressions_may_name_params(place):
    x = np.arange(5, dtype=np.float32)
    (y,) = run(scale_p, x, place=place, factor=0.1)
    np.testing.assert_array_equal(y, x * np.float32(0.1))


def test_a_chain_may_return_what_it_also_reads_on():
    x, y, z = (Var(f32(3)) for _ in range(3))
    body = Program((x,), (Eqn(ew.neg_p, (x,), (y,), {}), Eqn(ew.relu_p, (y,), (z,), {})), (y, z))
    source = chain_source(body, CPU)
    assert "out0[at + x] = t0;" in source
    assert "out1[at + x] = t1;" in source
