"""Scaled dot-product attention that never holds the matrix of scores, and its fused vjp."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Host, Primitive, ShapedArray, Split, aval_of
from lwps.ops import attention_cpu, attention_gpu, attention_host
from lwps.ops.attention_launch import backward_variant, forward_variant
from lwps.ops.elementwise import astype, promote
from lwps.ops.rules import FLOATS
from lwps.ops.shape import reshape

CUTS = attention_gpu.CUT, attention_cpu.CUT  # the first that applies

Avals = tuple[ShapedArray, ...]


def attention(q: Any, k: Any, v: Any, causal: bool = False, mask: Any = None, scale: float | None = None) -> Any:
    """Values of keys, weighed for each query by softmax over the keys of q k' scale: `[B, T, N, H]`.

    `q[B, T, N, H]` has T queries for each of N heads, `k` and `v` `[B, S, K, H]` have S keys and values for each of K
    heads, each of which N/K heads of queries share; without B where there is one example. Layout and meaning are those
    of `jax.nn.dot_product_attention`.

    `causal`: query i sees keys 0 to i. `mask` broadcasts to `[B, N, T, S]`: bools, of which True lets a query see a
    key, or floats that are added to the scores. No gradient flows into a mask. `scale` is 1/sqrt(H) by default.
    A query that sees no key gets zeros. A key of weight zero takes no part, whatever its value is, NaN included.

    The weights are computed in blocks and again for the vjp (Dao, Fu, Ermon, Rudra, Ré, "FlashAttention", 2022).
    """
    q, k, v = promote("attention", q, k, v)
    single = all(aval_of(x).ndim == 3 for x in (q, k, v))
    if single:
        q, k, v = (reshape(x, (1, *aval_of(x).shape)) for x in (q, k, v))
    _check("attention", *map(aval_of, (q, k, v)))
    scale = 1 / math.sqrt(aval_of(q).shape[-1]) if scale is None else float(scale)
    masks = () if mask is None else (_mask_of(mask, aval_of(q).dtype),)
    out, _ = attention_p.bind(q, k, v, *masks, causal=bool(causal), scale=scale)
    return reshape(out, aval_of(out).shape[1:]) if single else out


def _mask_of(mask: Any, dtype: np.dtype) -> Any:
    """With all four axes, and floats in the dtype of the scores."""
    shape = aval_of(mask).shape
    mask = astype(mask, dtype) if aval_of(mask).dtype.kind == "f" else mask
    return reshape(mask, (1,) * (4 - len(shape)) + shape) if len(shape) < 4 else mask


# --- rules ------------------------------------------------------------------------------------------


def _check(op: str, q: ShapedArray, k: ShapedArray, v: ShapedArray) -> None:
    got = f"{q}, {k} and {v}"
    fits = q.ndim == k.ndim == 4 and k == v and q.dtype == k.dtype and q.dtype.name in FLOATS
    if not fits or q.shape[::3] != k.shape[::3] or q.shape[-1] == 0:
        raise TypeError(
            f"{op}: q must be floats [B, T, N, H] and k, v [B, S, K, H] of its dtype, got {got};"
            " use reshape, transpose or astype"
        )
    if q.shape[2] % k.shape[2] if k.shape[2] else q.shape[2]:
        raise TypeError(f"{op}: the heads of q must be a multiple of those of k and v, got {got}; use repeat")


def _check_params(op: str, q: ShapedArray, k: ShapedArray, masks: Sequence[ShapedArray], scale: float) -> None:
    shape = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
    for mask in masks:
        fits = mask.ndim == 4 and all(n in (1, want) for n, want in zip(mask.shape, shape, strict=True))
        if not fits or mask.dtype not in (np.dtype(bool), q.dtype):
            raise TypeError(
                f"{op}: mask must be bools (True: may be seen) or {q.dtype} (added to the scores) that broadcast to"
                f" {list(shape)}, got {mask}; use astype or reshape"
            )
    if not math.isfinite(scale):
        raise ValueError(f"{op}: scale must be a finite number, got {scale}")


def _attention_aval(
    q: ShapedArray, k: ShapedArray, v: ShapedArray, *masks: ShapedArray, causal: bool, scale: float
) -> Avals:
    _check("attention", q, k, v)
    _check_params("attention", q, k, masks, scale)
    return q, _lse_aval(q)


def _lse_aval(q: ShapedArray) -> ShapedArray:
    """The logarithm of a query's sum of exp(scores), for each head and query."""
    batch, queries, heads, _ = q.shape
    return ShapedArray((batch, heads, queries), q.dtype)


def _attention_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, causal: bool, scale: float) -> Sequence[Any]:
    (ct, ct_lse), (q, k, v, *masks), (out, lse) = cts, ins, outs
    if any(needed[3:]):
        raise TypeError(
            f"attention: the mask must not need a gradient, got {aval_of(masks[0])}; use stop_gradient, or write"
            " softmax(scores + mask) with matmul"
        )
    if ct_lse is not None:
        raise TypeError(
            f"attention: the log-sum-exp must not need a gradient, got {aval_of(ct_lse)}; use logsumexp with matmul"
        )
    return (*attention_vjp_p.bind(ct, q, k, v, out, lse, *masks, causal=causal, scale=scale), *[None] * len(masks))


def _seen(q: ShapedArray, k: ShapedArray, causal: bool) -> int:
    """Pairs of a query and a key that it may see, over all examples and heads."""
    (batch, queries, heads, _), keys = q.shape, k.shape[1]
    corner = min(queries, keys)
    pairs = corner * (corner + 1) // 2 + max(0, queries - keys) * keys if causal else queries * keys
    return batch * heads * pairs


ROWS, SUMS = (0, 2), (0, 1)  # axes of examples and heads: of q and its like, of lse and masks


def _splits(q: ShapedArray, k: ShapedArray, masks: Sequence[ShapedArray], ins: Any, outs: Any) -> tuple[Split, ...]:
    """Along the examples, and along the heads where none are shared."""
    found = []
    for kind in (0, 1) if q.shape[2] == k.shape[2] else (0,):
        cuts = [SUMS[kind] if m.shape[SUMS[kind]] > 1 else None for m in masks]
        found.append(Split((*(axes[kind] for axes in ins), *cuts), tuple(axes[kind] for axes in outs)))
    return tuple(found)


def _attention_split(
    q: ShapedArray, k: ShapedArray, v: ShapedArray, *masks: ShapedArray, **params: Any
) -> tuple[Split, ...]:
    return _splits(q, k, masks, (ROWS,) * 3, (ROWS, SUMS))


def _attention_cost(
    q: ShapedArray, k: ShapedArray, v: ShapedArray, *masks: ShapedArray, causal: bool, scale: float
) -> Cost:
    flops = _seen(q, k, causal) * (4 * q.shape[-1] + 5)
    return Cost(flops, 2 * q.nbytes + k.nbytes + v.nbytes + sum(m.nbytes for m in masks))


attention_p = Primitive(
    "attention",
    aval=_attention_aval,
    vjp=_attention_vjp,
    cost=_attention_cost,
    numpy=Host(attention_host.forward, attention_host.forward_scratch),
    opencl=tuple(map(forward_variant, CUTS)),
    alias=None,
    split=_attention_split,
)


def _vjp_aval(
    ct: ShapedArray,
    q: ShapedArray,
    k: ShapedArray,
    v: ShapedArray,
    out: ShapedArray,
    lse: ShapedArray,
    *masks: ShapedArray,
    causal: bool,
    scale: float,
) -> Avals:
    _check("attention_vjp", q, k, v)
    _check_params("attention_vjp", q, k, masks, scale)
    if ct != q or out != q or lse != _lse_aval(q):
        raise TypeError(
            f"attention_vjp: ct and out must match q, lse {_lse_aval(q)}, got {ct}, {out} and {lse} for {q}"
        )
    return q, k, v


def _vjp_cost(
    ct: ShapedArray, q: ShapedArray, k: ShapedArray, *others: ShapedArray, causal: bool, scale: float
) -> Cost:
    flops = _seen(q, k, causal) * (10 * q.shape[-1] + 6)
    return Cost(flops, 2 * q.nbytes + 3 * k.nbytes + ct.nbytes + sum(a.nbytes for a in others))


def _vjp_split(
    ct: ShapedArray, q: ShapedArray, k: ShapedArray, *others: ShapedArray, **params: Any
) -> tuple[Split, ...]:
    return _splits(q, k, others[3:], (*(ROWS,) * 5, SUMS), (ROWS,) * 3)


attention_vjp_p = Primitive(
    "attention_vjp",
    aval=_vjp_aval,
    vjp=None,  # no second derivatives
    cost=_vjp_cost,
    numpy=Host(attention_host.backward, attention_host.backward_scratch),
    opencl=tuple(map(backward_variant, CUTS)),
    alias=None,
    split=_vjp_split,
)
