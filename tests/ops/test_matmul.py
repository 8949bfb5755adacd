import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops.matmul import matmul, matmul_p
from tests.ops.as_gpu import on_each_runner, run

seeds = st.integers(0, 2**32 - 1)
# around the 6 rows and 8 or 16 columns of a CPU tile, the 4 x 64 of a GPU's panel, and 0
sizes = st.sampled_from((0, 1, 2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 24, 33, 63, 65, 100))
batches = st.sampled_from((((), ()), ((2,), (2,)), ((3, 2), (3, 2)), ((2,), ()), ((), (3,)), ((0,), (0,))))
flags = st.booleans()


def operands(m, n, k, batch, transpose_x, transpose_y, seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*batch[0], *((k, m) if transpose_x else (m, k)))).astype(dtype)
    y = rng.standard_normal((*batch[1], *((n, k) if transpose_y else (k, n)))).astype(dtype)
    return x, y


def reference(x, y, transpose_x, transpose_y):
    """The product in float64, and the same of absolute values: the scale of rounding errors."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    x = np.swapaxes(x, -1, -2) if transpose_x else x
    y = np.swapaxes(y, -1, -2) if transpose_y else y
    return np.einsum("...mk,...kn->...mn", x, y), np.einsum("...mk,...kn->...mn", abs(x), abs(y))


def assert_close(z, expected, scale, terms):
    assert z.shape == expected.shape
    assert np.all(np.abs(z - expected) <= np.finfo(z.dtype).eps * (terms + 2) * scale)


@on_each_runner
@given(m=sizes, n=sizes, k=sizes, batch=batches, transpose_x=flags, transpose_y=flags, seed=seeds)
@example(m=13, n=1000, k=70, batch=((), ()), transpose_x=True, transpose_y=True, seed=0)  # many panels
@example(m=700, n=17, k=300, batch=((), ()), transpose_x=False, transpose_y=False, seed=0)  # many tiles an item
def test_matches_the_float64_reference(runner, m, n, k, batch, transpose_x, transpose_y, seed):
    x, y = operands(m, n, k, batch, transpose_x, transpose_y, seed)
    (z,) = run(runner, matmul_p, x, y, transpose_x=transpose_x, transpose_y=transpose_y)
    assert_close(z, *reference(x, y, transpose_x, transpose_y), k)


@given(m=sizes, n=sizes, k=sizes, batch=batches, transpose_x=flags, transpose_y=flags, seed=seeds)
def test_float64_keeps_its_precision_on_the_host(m, n, k, batch, transpose_x, transpose_y, seed):
    x, y = operands(m, n, k, batch, transpose_x, transpose_y, seed, np.float64)
    (z,) = run("cpu", matmul_p, x, y, transpose_x=transpose_x, transpose_y=transpose_y)
    assert z.dtype == np.float64
    assert_close(z, *reference(x, y, transpose_x, transpose_y), k)


@on_each_runner
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row_and_column(runner, value):
    x, y = operands(7, 19, 9, ((), ()), False, False, 0)
    x[6, 8], y[0, 18] = value, value  # the last row and column: whose values tails of tiles repeat
    with np.errstate(invalid="ignore"):  # inf - inf where they meet
        (z,) = run(runner, matmul_p, x, y, transpose_x=False, transpose_y=False)
    expected = np.zeros((7, 19), bool)
    expected[6], expected[:, 18] = True, True
    np.testing.assert_array_equal(~np.isfinite(z), expected)


small = st.integers(1, 4)


@given(m=small, n=small, k=small, batch=batches, transpose_x=flags, transpose_y=flags, seed=seeds)
def test_vjp_matches_central_differences(check_vjp, m, n, k, batch, transpose_x, transpose_y, seed):
    x, y = operands(m, n, k, batch, transpose_x, transpose_y, seed, np.float64)
    check_vjp(matmul_p, x, y, seed=seed, transpose_x=transpose_x, transpose_y=transpose_y)


@pytest.mark.parametrize(("transpose_x", "transpose_y"), [(False, False), (False, True), (True, False), (True, True)])
def test_vjp_is_two_products_and_transposes_nothing(transpose_x, transpose_y):
    x, y = operands(3, 4, 5, ((), ()), transpose_x, transpose_y, 0)
    flags = {"transpose_x": transpose_x, "transpose_y": transpose_y}
    ct = ShapedArray((3, 4), "float32")
    program = tracing.trace(lambda ct, x, y: matmul_p.vjp((ct,), (x, y), (None,), (True, True), **flags), ct, x, y)
    assert [eqn.primitive for eqn in program.eqns] == [matmul_p, matmul_p]


def test_vjp_of_one_operand_leaves_out_the_other():
    x, y = operands(3, 4, 5, ((), ()), False, False, 0)
    dx, dy = matmul_p.vjp((x @ y,), (x, y), (None,), (True, False), transpose_x=False, transpose_y=False)
    assert dx.shape == x.shape
    assert dy is None


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3,)),
        ((4, 2, 3), (3,)),
        ((3,), (4, 3, 2)),
        ((5, 4, 2, 3), (3, 2)),
        ((2, 3), (4, 3, 2)),
        ((4, 2, 3), (4, 3, 2)),
        ((4, 1, 2, 3), (5, 3, 2)),
        ((1, 2, 3), (4, 3, 2)),
    ],
)
def test_the_op_follows_numpy_for_every_number_of_axes(x, y):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(x, np.float32), rng.standard_normal(y, np.float32)
    z, expected = matmul(x, y), np.matmul(x, y)
    assert z.shape == expected.shape
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-6)


def test_a_batch_with_one_right_operand_is_one_large_product():
    program = tracing.trace(matmul, ShapedArray((4, 2, 3), "float32"), ShapedArray((3, 5), "float32"))
    (product,) = [eqn for eqn in program.eqns if eqn.runs]
    assert product.in_avals[0].shape == (8, 3)


def test_numpy_rule_allocates_nothing_of_size():
    for transpose_x in (False, True):
        for transpose_y in (False, True):
            x, y = operands(600, 700, 800, ((), ()), transpose_x, transpose_y, 0)
            out = np.empty((600, 700), np.float32)
            tracemalloc.start()
            matmul_p.numpy.run(out, x, y, transpose_x=transpose_x, transpose_y=transpose_y)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 100_000


def test_cost_counts_a_multiply_and_an_add():
    x, y = ShapedArray((2, 3, 4), "float32"), ShapedArray((2, 5, 4), "float32")
    cost = matmul_p.cost(x, y, transpose_x=False, transpose_y=True)
    assert (cost.flops, cost.nbytes) == (2 * 2 * 3 * 4 * 5, 4 * (24 + 40 + 30))


@given(m=small, n=small, k=small, batch=batches, transpose_x=flags, transpose_y=flags, seed=seeds)
def test_parts_that_split_names_give_parts_of_the_result(m, n, k, batch, transpose_x, transpose_y, seed):
    ins = operands(m, n, k, batch, transpose_x, transpose_y, seed, np.float64)
    params = {"transpose_x": transpose_x, "transpose_y": transpose_y}
    (whole,) = matmul_p.bind(*ins, **params)
    splits = matmul_p.split(*(ShapedArray(x.shape, x.dtype) for x in ins), **params)
    assert len(splits) == whole.ndim
    for split in splits:
        (axis,) = split.outs
        for part in range(whole.shape[axis]):
            some = [x if a is None else x.take([part], a) for x, a in zip(ins, split.ins, strict=True)]
            (z,) = matmul_p.bind(*some, **params)
            np.testing.assert_allclose(z, whole.take([part], axis), rtol=1e-12)


def aval(*shape, dtype="float32"):
    return ShapedArray(shape, dtype)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (aval(2, 3), aval(4, 5), r"matmul: the summed axes must have equal lengths, got 3 of float32\[2,3\] and 4 of"),
        (aval(2, 3), aval(3, 5, dtype="float64"), r"matmul: x and y must share one dtype .* got .*float64\[3,5\]"),
        (aval(2, 3, dtype="int32"), aval(3, 5, dtype="int32"), r"matmul: .* float32, float64, got .*; use astype"),
        (aval(3), aval(3, 5), r"matmul: x and y must have at least two axes, got float32\[3\].*; use reshape"),
        (aval(2, 2, 3), aval(4, 3, 5), r"matmul: leading axes must be equal or absent, .*; use broadcast_to"),
    ],
)
def test_refusals_name_what_must_hold(x, y, message):
    with pytest.raises(TypeError, match=message):
        matmul_p.aval(x, y, transpose_x=False, transpose_y=False)


def test_the_op_refuses_scalars_and_batches_that_do_not_broadcast():
    with pytest.raises(TypeError, match=r"matmul: x and y must have at least one axis, got .*; use mul"):
        matmul(np.float32(1), np.ones((2, 2), np.float32))
    with pytest.raises(TypeError, match=r"matmul: leading axes must broadcast together, got .*; reshape"):
        matmul(np.ones((2, 3, 4), np.float32), np.ones((3, 4, 2), np.float32))


@on_each_runner
def test_a_sum_over_nothing_is_zero(runner):
    x, y = np.ones((7, 0), np.float32), np.ones((0, 9), np.float32)
    (z,) = run(runner, matmul_p, x, y, transpose_x=False, transpose_y=False)
    np.testing.assert_array_equal(z, np.zeros((7, 9)))
