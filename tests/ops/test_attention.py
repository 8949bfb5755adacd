import tracemalloc

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps.core import Device, ShapedArray, aval_of, evaluate
from lwps.ops.attention import attention, attention_p, attention_vjp_p

from .as_gpu import RUNNERS, on_each_runner, run

HEAD = 70  # more than two tiles of a GPU, and no whole vectors; each other number would build all kernels again


@attrs.frozen
class Case:
    """Arrays in float32 and params."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    ct: np.ndarray
    mask: np.ndarray | None
    causal: bool
    scale: float

    @property
    def masks(self):
        return () if self.mask is None else (self.mask,)

    @property
    def params(self):
        return {"causal": self.causal, "scale": self.scale}


def case_of(seed, batch, queries, keys, heads, size, *, causal=False, mask=None, repeats=(), loud=1.0):
    """`heads` are those of q and of k; `repeats` the axes along which the mask has one element."""
    rng = np.random.default_rng(seed)
    n, shared = heads
    q, ct = rng.standard_normal((2, batch, queries, n, size)).astype(np.float32)
    k, v = rng.standard_normal((2, batch, keys, shared, size)).astype(np.float32)
    shape = [1 if a in repeats else m for a, m in enumerate((batch, n, queries, keys))]
    array = None
    if mask == "bool":
        array = rng.random(shape) < 0.3  # few keys: some queries see none
    elif mask == "float":
        array = np.where(rng.random(shape) < 0.8, rng.standard_normal(shape), -np.inf).astype(np.float32)
    return Case(q * np.float32(loud), k, v, ct, array, causal, 0.3)


# queries and keys around the tiles of 32 and 48; loud: scores of hundreds, whose exp overflows
cases = st.builds(
    case_of,
    st.integers(0, 2**32 - 1),
    st.integers(1, 2),
    st.sampled_from((1, 7, 48, 100)),
    st.sampled_from((1, 5, 50, 64, 97)),
    st.sampled_from(((1, 1), (3, 3), (4, 2), (3, 1))),
    st.just(HEAD),
    causal=st.booleans(),
    mask=st.sampled_from((None, "bool", "float")),
    repeats=st.sampled_from(((), (0, 1), (1, 2), (0, 1, 2), (3,))),
    loud=st.sampled_from((1.0, 30.0)),
)


def reference(case):
    """out, lse, dq, dk, dv in float64, and the largest score."""
    q, k, v, ct = (a.astype(np.float64) for a in (case.q, case.k, case.v, case.ct))
    share = q.shape[2] // k.shape[2]
    wide_k, wide_v = np.repeat(k, share, 2), np.repeat(v, share, 2)
    s = np.einsum("btnh,bsnh->bnts", q, wide_k) * case.scale
    loudest = np.abs(s).max(initial=0)
    if case.causal:
        s = np.where(np.tril(np.ones(s.shape[2:], bool)), s, -np.inf)
    if case.mask is not None:
        s = np.where(case.mask, s, -np.inf) if case.mask.dtype == bool else s + case.mask
    top = s.max(-1, keepdims=True, initial=-np.inf)
    top = np.where(np.isneginf(top), 0, top)
    weights = np.exp(s - top)
    total = weights.sum(-1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        lse = (top + np.log(total))[..., 0]
    out = np.einsum("bnts,bsnh->btnh", weights, wide_v)
    products = np.einsum("btnh,bsnh->bnts", ct, wide_v)
    changes = weights * (products - (products * weights).sum(-1, keepdims=True)) * case.scale
    dq = np.einsum("bnts,bsnh->btnh", changes, wide_k)
    dk, dv = (np.einsum("bnts,btnh->bsnh", a, b) for a, b in ((changes, q), (weights, ct)))
    apart = (*k.shape[:3], share, k.shape[3])
    return (out, lse, dq, dk.reshape(apart).sum(3), dv.reshape(apart).sum(3)), loudest


def forward(runner, case):
    return run(runner, attention_p, case.q, case.k, case.v, *case.masks, **case.params)


def backward(runner, case, out, lse):
    return run(runner, attention_vjp_p, case.ct, case.q, case.k, case.v, out, lse, *case.masks, **case.params)


def assert_close(got, want, loudest):
    """A weight is as right as its score, which has the rounding of its terms."""
    want_size = np.abs(np.where(np.isfinite(want), want, 0)).max(initial=1)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=3e-6 * (1 + loudest) * want_size)


@on_each_runner
@given(case=cases)
def test_forward_and_vjp_match_the_float64_reference(runner, case):
    (out, lse, *grads), loudest = reference(case)
    got = forward(runner, case)
    for a, b in zip(got, (out, lse), strict=True):
        assert_close(a, b, loudest)
    exact = [a.astype(np.float32) for a in (out, lse)]
    for a, b in zip(backward(runner, case, *exact), grads, strict=True):
        assert_close(a, b, loudest)


@pytest.mark.parametrize("runner", [r for r in RUNNERS if r.startswith("cl-cpu")][:1])
def test_heads_too_wide_for_the_large_tiles(runner):
    case = case_of(0, 1, 20, 35, (2, 2), 520, causal=True)
    (out, lse, *grads), loudest = reference(case)
    assert_close(forward(runner, case)[0], out, loudest)
    exact = [a.astype(np.float32) for a in (out, lse)]
    for a, b in zip(backward(runner, case, *exact), grads, strict=True):
        assert_close(a, b, loudest)


@on_each_runner
def test_a_query_that_sees_no_key_is_zero_and_moves_nothing(runner):
    case = case_of(0, 1, 60, 50, (2, 2), HEAD, mask="bool")
    case.mask[0, :, (3, 55)] = False
    out, lse = forward(runner, case)
    assert (out[0, (3, 55)] == 0).all()
    assert np.isneginf(lse[0, :, (3, 55)]).all()
    dq, dk, dv = backward(runner, case, out, lse)
    assert (dq[0, (3, 55)] == 0).all()
    assert np.isfinite(dk).all()
    assert np.isfinite(dv).all()


@on_each_runner
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_a_query_does_not_see_may_be_nan(runner, bad):
    """Causal: NaNs from position 40 on change nothing before it, whether in queries, keys, values or cotangents."""
    case = case_of(0, 1, 60, 60, (2, 2), HEAD, causal=True)
    want = forward(runner, case)
    before = backward(runner, case, *want)
    for name in ("k", "v"):
        spoilt = attrs.evolve(case, **{name: getattr(case, name).copy()})
        getattr(spoilt, name)[:, 40:, :, :3] = bad  # of whole vectors, and not of the rest behind them
        out, lse = forward(runner, spoilt)
        np.testing.assert_allclose(out[:, :40], want[0][:, :40], rtol=1e-5, atol=1e-6)
        assert not np.isfinite(out[:, 40:, :, :3]).all()
        dq, _, _ = backward(runner, spoilt, out, lse)
        np.testing.assert_allclose(dq[:, :40], before[0][:, :40], rtol=1e-5, atol=1e-6)
    for name, hit in (("q", 1), ("ct", 1), ("ct", 2)):  # queries up to 40 move keys from 41 on by nothing
        spoilt = attrs.evolve(case, **{name: getattr(case, name).copy()})
        getattr(spoilt, name)[:, :41] = bad
        grads = backward(runner, spoilt, *forward(runner, spoilt))
        np.testing.assert_allclose(grads[hit][:, 41:], before[hit][:, 41:], rtol=1e-5, atol=1e-6)
        assert not np.isfinite(grads[hit][:, :41]).all()


@on_each_runner
def test_what_a_mask_hides_may_be_nan_and_what_it_shows_may_not(runner):
    case = case_of(0, 2, 10, 60, (2, 2), HEAD)
    seen = np.arange(60) % 7 != 0
    masked = attrs.evolve(case, mask=seen[None, None, None, :])
    want = forward(runner, masked)
    for array in (case.k, case.v):
        array[:, ~seen] = np.nan
    out, lse = forward(runner, masked)
    np.testing.assert_allclose(out, want[0], rtol=1e-5, atol=1e-6)
    dq, dk, dv = backward(runner, masked, out, lse)
    assert np.isfinite(dq).all()
    assert np.isfinite(dk[:, seen]).all()
    assert np.isfinite(dv[:, seen]).all()
    added = attrs.evolve(masked, mask=np.where(masked.mask, 0, -np.inf).astype(np.float32))
    np.testing.assert_array_equal(forward(runner, added)[0], out)
    assert np.isnan(forward(runner, case)[0]).all()


@on_each_runner
@pytest.mark.parametrize("shape", [(0, 3, 4, 2), (2, 0, 4, 2), (2, 3, 0, 2), (2, 3, 4, 0)])
def test_empty_arrays_pass(runner, shape):
    batch, queries, keys, heads = shape
    case = case_of(0, batch, queries, keys, (heads, heads), HEAD)
    out, lse = forward(runner, case)
    np.testing.assert_array_equal(out, 0)
    assert np.isneginf(lse).all()
    for ct in backward(runner, case, out, lse):
        np.testing.assert_array_equal(ct, 0)


@on_each_runner
def test_the_same_call_gives_the_same_bits(runner):
    case = case_of(0, 2, 100, 97, (4, 2), HEAD, causal=True)
    first, again = (forward(runner, case) for _ in range(2))
    grads, grads_again = (backward(runner, case, *first) for _ in range(2))
    for a, b in zip((*first, *grads), (*again, *grads_again), strict=True):
        np.testing.assert_array_equal(a, b)


@given(
    case=st.builds(
        case_of,
        st.integers(0, 99),
        st.integers(1, 2),
        st.integers(1, 6),
        st.integers(1, 6),
        st.sampled_from(((2, 2), (4, 2))),
        st.just(3),
        causal=st.booleans(),
        mask=st.sampled_from((None, "bool", "float")),
    )
)
def test_vjp_is_the_derivative_in_float64(case):
    rng = np.random.default_rng(0)
    ins = [a.astype(np.float64) for a in (case.q, case.k, case.v)]
    masks = [m if m.dtype == bool else m.astype(np.float64) for m in case.masks]
    directions = [rng.standard_normal(a.shape) for a in ins]

    def objective(step):
        moved = [a + step * d for a, d in zip(ins, directions, strict=True)]
        return (case.ct * attention_p.bind(*moved, *masks, **case.params)[0]).sum()

    outs = attention_p.bind(*ins, *masks, **case.params)
    needed = (True,) * 3 + (False,) * len(masks)
    grads = attention_p.vjp((case.ct.astype(np.float64), None), (*ins, *masks), outs, needed, **case.params)
    assert grads[3:] == (None,) * len(masks)
    got = sum((g * d).sum() for g, d in zip(grads, directions, strict=False))
    np.testing.assert_allclose(got, (objective(1e-5) - objective(-1e-5)) / 2e-5, rtol=1e-6, atol=1e-6)


def test_one_example_needs_no_batch_axis_and_the_scale_is_that_of_the_paper():
    case = case_of(0, 1, 5, 6, (2, 2), 4)
    whole = attention(case.q, case.k, case.v, causal=True)
    np.testing.assert_array_equal(attention(case.q[0], case.k[0], case.v[0], causal=True), whole[0])
    np.testing.assert_array_equal(attention(case.q, case.k, case.v, causal=True, scale=0.5), whole)


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 1, 1), (1, 2, 5, 6), (1, 1, 1, 6)])
def test_masks_broadcast_to_heads_queries_and_keys(shape):
    case = case_of(0, 1, 5, 6, (2, 2), 4)
    mask = np.random.default_rng(1).random(shape) < 0.7
    full = attrs.evolve(case, mask=np.broadcast_to(mask, (1, 2, 5, 6)))
    (want, *_), _ = reference(full)
    np.testing.assert_allclose(attention(case.q, case.k, case.v, mask=mask, scale=0.3), want, rtol=1e-5, atol=1e-6)
    floats = np.where(mask, 0.0, -np.inf)  # float64, beside float32 arrays
    np.testing.assert_allclose(attention(case.q, case.k, case.v, mask=floats, scale=0.3), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_parts_of_a_split_are_the_whole(heads):
    case = case_of(0, 2, 9, 8, heads, 5, mask="bool", repeats=(0,))
    out, lse = evaluate(attention_p, (case.q, case.k, case.v, case.mask), case.params)
    pairs = (
        (attention_p, (case.q, case.k, case.v, case.mask)),
        (attention_vjp_p, (case.ct, case.q, case.k, case.v, out, lse, case.mask)),
    )
    for primitive, ins in pairs:
        whole = evaluate(primitive, ins, case.params)
        splits = primitive.split(*map(aval_of, ins), **case.params)
        assert len(splits) == (2 if heads[0] == heads[1] else 1)
        for split in splits:
            parts = [
                [a] * 2 if axis is None else np.array_split(a, 2, axis) for a, axis in zip(ins, split.ins, strict=True)
            ]
            results = [evaluate(primitive, part, case.params) for part in zip(*parts, strict=True)]
            for joined, axis, want in zip(zip(*results, strict=True), split.outs, whole, strict=True):
                np.testing.assert_allclose(np.concatenate(joined, axis), want, rtol=1e-5, atol=1e-6)


def test_no_rule_holds_the_matrix_of_scores():
    q, lse = ShapedArray((4, 2048, 8, 64), "float32"), ShapedArray((4, 8, 2048), "float32")
    params = {"causal": True, "scale": 1.0}
    for primitive, ins in ((attention_p, (q, q, q)), (attention_vjp_p, (q, q, q, q, q, lse))):
        assert sum(a.nbytes for a in primitive.numpy.scratch(*ins, **params)) < q.nbytes / 2
        for device in (Device("cpu"), Device("gpu")):
            variant = next(v for v in primitive.opencl if v.applies(device, *ins, **params))
            assert sum(a.nbytes for a in variant.scratch(*ins, **params)) <= lse.nbytes


def test_numpy_rules_allocate_nothing_of_size():
    case = case_of(0, 4, 500, 500, (8, 8), 32, causal=True)
    out, lse = evaluate(attention_p, (case.q, case.k, case.v), case.params)
    pairs = (
        (attention_p, (case.q, case.k, case.v)),
        (attention_vjp_p, (case.ct, case.q, case.k, case.v, out, lse)),
    )
    for primitive, ins in pairs:
        avals = [aval_of(a) for a in ins]
        wanted = (*primitive.aval(*avals, **case.params), *primitive.numpy.scratch(*avals, **case.params))
        arrays = [np.empty(a.shape, a.dtype) for a in wanted]
        outs = len(primitive.aval(*avals, **case.params))
        tracemalloc.start()
        primitive.numpy.run(*arrays[:outs], *ins, *arrays[outs:], **case.params)
        scratch = sum(a.nbytes for a in arrays[outs:])
        assert tracemalloc.get_traced_memory()[1] < scratch / 5, primitive
        tracemalloc.stop()


@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (7, 4), (4, 7), (3, 0)])
def test_costs_count_pairs_that_may_be_seen(queries, keys):
    q, k = ShapedArray((2, queries, 4, 8), "float32"), ShapedArray((2, keys, 2, 8), "float32")
    lse = ShapedArray((2, 4, queries), "float32")
    for causal, pairs in ((False, queries * keys), (True, np.tril(np.ones((queries, keys))).sum())):
        params = {"causal": causal, "scale": 1.0}
        assert attention_p.cost(q, k, k, **params).flops == 8 * pairs * (4 * 8 + 5)
        assert attention_vjp_p.cost(q, q, k, k, q, lse, **params).flops == 8 * pairs * (10 * 8 + 6)


# --- refusals ---------------------------------------------------------------------------------------

Q = np.zeros((2, 5, 4, 3), np.float32)
K = np.zeros((2, 6, 2, 3), np.float32)


@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        (Q[0, 0], K, K),
        (Q, K[0], K[0]),
        (Q, K, K[:, :5]),
        (Q, K[:1], K[:1]),
        (Q, K[..., :2], K[..., :2]),
        (Q[..., :0], K[..., :0], K[..., :0]),
        (Q.astype(np.int32), K.astype(np.int32), K.astype(np.int32)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(q, k, v):
    match = r"^attention: q must be floats \[B, T, N, H\] and k, v \[B, S, K, H\] of its dtype, got .*; use reshape"
    with pytest.raises(TypeError, match=match):
        attention(q, k, v)


def test_heads_that_cannot_be_shared_out_are_refused():
    with pytest.raises(
        TypeError, match=r"attention: the heads of q must be a multiple of those of k and v, got .*repeat"
    ):
        attention(Q[:, :, :3], K, K)


@pytest.mark.parametrize("mask", [np.ones((5, 6), np.int32), np.ones((6, 5), bool), np.ones((1, 1, 1, 5, 6), bool)])
def test_masks_that_do_not_fit_are_refused(mask):
    match = r"attention: mask must be bools .* or float32 .* that broadcast to \[2, 4, 5, 6\], got .*; use astype"
    with pytest.raises(TypeError, match=match):
        attention(Q, K, K, mask=mask)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_not_finite_is_refused(scale):
    with pytest.raises(ValueError, match=r"attention: scale must be a finite number, got"):
        attention(Q, K, K, scale=scale)


def test_a_gradient_of_the_mask_is_refused_with_what_to_write():
    mask = np.zeros((5, 6), np.float32)
    with pytest.raises(TypeError, match=r"attention: the mask must not need a gradient, got float32\[1,1,5,6\]; use"):
        lwps.grad(lambda m: attention(Q, K, K, mask=m).sum())(mask)


def test_a_gradient_of_the_log_sum_exp_is_refused():
    with pytest.raises(TypeError, match=r"attention: the log-sum-exp must not need a gradient, got float32\[2,4,5\]"):
        lwps.grad(lambda q: attention_p.bind(q, K, K, causal=False, scale=1.0)[1].sum())(Q)


def test_the_vjp_refuses_arrays_that_do_not_belong_together():
    q, lse = ShapedArray((2, 5, 4, 3), "float32"), ShapedArray((2, 4, 5), "float32")
    match = r"attention_vjp: ct and out must match q, lse float32\[2,4,5\], got .* for float32\[2,5,4,3\]"
    for ins in ((lse, q, q, q, q, lse), (q, q, q, q, lse, lse), (q, q, q, q, q, q)):
        with pytest.raises(TypeError, match=match):
            attention_vjp_p.aval(*ins, causal=False, scale=1.0)
