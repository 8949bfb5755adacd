"""Scaled dot-product attention by matrix products of NumPy, a block of queries at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lwps.core import ShapedArray

BLOCK = 1 << 18  # scores at a time, if that leaves a block
ROWS = 64, 16  # queries at a time: as many as pay for a matrix product, but at least the second number

Avals = tuple[ShapedArray, ...]
Arrays = tuple[np.ndarray, ...]


# --- blocks -----------------------------------------------------------------------------------------


def _block(batch: int, queries: int, heads: int, keys: int) -> tuple[int, int]:
    """Examples and queries of a block."""
    rows = max(1, min(queries, max(ROWS[1], min(ROWS[0], BLOCK // max(1, heads * keys)))))
    return max(1, min(batch, BLOCK // max(1, heads * rows * keys))), rows


def _scores(q: ShapedArray, k: ShapedArray) -> ShapedArray:
    (batch, queries, heads, _), keys = q.shape, k.shape[1]
    examples, rows = _block(batch, queries, heads, keys)
    return ShapedArray((examples * heads * rows * keys,), q.dtype)


def forward_scratch(q: ShapedArray, k: ShapedArray, v: ShapedArray, *mask: ShapedArray, **params: Any) -> Avals:
    """One block of scores."""
    return (_scores(q, k),)


def backward_scratch(ct: ShapedArray, q: ShapedArray, k: ShapedArray, *others: ShapedArray, **params: Any) -> Avals:
    """Two blocks of scores, and what a block adds to dk or dv."""
    batch, queries, heads, _ = q.shape
    examples, _ = _block(batch, queries, heads, k.shape[1])
    return _scores(q, k), _scores(q, k), ShapedArray((examples, k.shape[2], k.shape[1], k.shape[3]), k.dtype)


def _blocks(q: np.ndarray, k: np.ndarray, causal: bool) -> Iterator[tuple[slice, slice, slice]]:
    """Examples, queries and the keys that these can see."""
    (batch, queries, heads, _), keys = q.shape, k.shape[1]
    examples, rows = _block(batch, queries, heads, keys)
    for b in range(0, batch, examples):
        for i in range(0, queries, rows):
            last = min(i + rows, queries)
            yield slice(b, min(b + examples, batch)), slice(i, last), slice(0, min(keys, last) if causal else keys)


def _by_head(x: np.ndarray, heads: int) -> np.ndarray:
    """[B, T, N, H] as the view [B, K, N/K, T, H] for K `heads` of keys."""
    batch, length, n, size = x.shape
    return x.reshape(batch, length, heads, n // max(1, heads), size).transpose(0, 2, 3, 1, 4)


def _mask_by_head(mask: np.ndarray, heads: int) -> np.ndarray:
    """[B or 1, N or 1, T or 1, S or 1] as the view [., K or 1, N/K or 1, ., .]."""
    batch, n, queries, keys = mask.shape
    return mask.reshape(batch, *((1, 1) if n == 1 else (heads, n // max(1, heads))), queries, keys)


def _cut(mask: np.ndarray, *wanted: slice) -> np.ndarray:
    """Of axes 0, 3 and 4 the slices that are wanted, where they are not to be repeated."""
    b, i, j = (s if n > 1 else slice(None) for s, n in zip(wanted, (mask.shape[0], *mask.shape[3:]), strict=True))
    return mask[b, :, :, i, j]


# --- a block ----------------------------------------------------------------------------------------


def _masked_scores(
    scratch: np.ndarray, q: np.ndarray, k: np.ndarray, masks: list[np.ndarray], first: int, causal: bool, scale: float
) -> np.ndarray:
    """q k' scale, minus infinity where a query may not see a key; `first` is the number of the first query."""
    shape = (*q.shape[:-1], k.shape[-2])
    s = scratch[: int(np.prod(shape))].reshape(shape)
    np.matmul(q, k.swapaxes(-1, -2), out=s)
    s *= s.dtype.type(scale)
    if causal:
        beyond = np.arange(first, shape[-1]) > np.arange(first, first + shape[-2])[:, None]
        np.copyto(s[..., first:], -np.inf, where=beyond)
    for mask in masks:
        if mask.dtype == np.bool_:
            np.copyto(s, -np.inf, where=~mask)
        else:
            hidden = np.isneginf(mask) | np.isneginf(s)
            s += mask
            np.copyto(s, -np.inf, where=hidden)
    return s


def _weigh(out: np.ndarray, weights: np.ndarray, values: np.ndarray) -> None:
    """out = weights @ values, where a weight of zero takes nothing, not even of a NaN."""
    np.matmul(weights, values, out=out)
    if np.isfinite(out).all():
        return
    finite = np.isfinite(values)
    np.matmul(weights, np.where(finite, values, 0), out=out)
    bad = np.where(finite, 0, values)
    for key in np.flatnonzero(~finite.all(axis=(*range(values.ndim - 2), -1))):
        weight = weights[..., key, None]
        out += np.where(weight == 0, 0, weight * bad[..., key, None, :])


@np.errstate(invalid="ignore", over="ignore", divide="ignore")
def forward(
    out: np.ndarray,
    lse: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *rest: Any,
    causal: bool,
    scale: float,
) -> None:
    """The rule of `attention_p`."""
    *mask, scratch = rest
    heads = k.shape[2]
    outs, qs, ks, vs = (_by_head(x, heads) for x in (out, q, k, v))
    lses = lse.reshape(qs.shape[:-1])
    masks = [_mask_by_head(m, heads) for m in mask]
    for b, i, j in _blocks(q, k, causal):
        here = [_cut(m, b, i, j) for m in masks]
        s = _masked_scores(scratch, qs[b, :, :, i], ks[b, :, :, j], here, i.start, causal, scale)
        top = s.max(axis=-1, keepdims=True, initial=-np.inf)
        top[np.isneginf(top)] = 0  # a query that sees nothing
        s -= top
        np.exp(s, out=s)
        total = s.sum(axis=-1, keepdims=True)
        _weigh(outs[b, :, :, i], s, vs[b, :, :, j])
        lses[b, :, :, i] = (top + np.log(total))[..., 0]
        total[total == 0] = 1
        outs[b, :, :, i] /= total


@np.errstate(invalid="ignore", over="ignore")
def backward(
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    ct: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    out: np.ndarray,
    lse: np.ndarray,
    *rest: Any,
    causal: bool,
    scale: float,
) -> None:
    """The rule of `attention_vjp_p`."""
    *mask, scratch, products, part = rest
    heads = k.shape[2]
    cts, outs, dqs, qs, ks, vs = (_by_head(x, heads) for x in (ct, out, dq, q, k, v))
    dks, dvs = dk.swapaxes(1, 2), dv.swapaxes(1, 2)
    lses = lse.reshape(qs.shape[:-1])
    masks = [_mask_by_head(m, heads) for m in mask]
    dk[...] = dv[...] = 0
    for b, i, j in _blocks(q, k, causal):
        here = [_cut(m, b, i, j) for m in masks]
        rows = b, slice(None), slice(None), i
        weights = _masked_scores(scratch, qs[rows], ks[b, :, :, j], here, i.start, causal, scale)
        _weights(weights, lses[rows])
        changes = products[: weights.size].reshape(weights.shape)
        np.matmul(cts[rows], vs[b, :, :, j].swapaxes(-1, -2), out=changes)
        changes -= np.einsum("...h,...h->...", cts[rows], outs[rows])[..., None]
        changes *= weights
        if not np.isfinite(changes).all():
            changes[weights == 0] = 0
        _weigh(dqs[rows], changes, ks[b, :, :, j])
        _add_heads(dvs[b, :, j], weights, cts[rows], part)
        _add_heads(dks[b, :, j], changes, qs[rows], part)
    dq *= dq.dtype.type(scale)
    dk *= dk.dtype.type(scale)


def _weights(s: np.ndarray, lse: np.ndarray) -> None:
    """exp(scores - lse), in their place; zero where there is nothing to see, whatever lse is."""
    hidden = None if np.isfinite(lse).all() else np.isneginf(s)
    s -= lse[..., None]
    np.exp(s, out=s)
    if hidden is not None:
        s[hidden] = 0


def _add_heads(total: np.ndarray, weights: np.ndarray, values: np.ndarray, part: np.ndarray) -> None:
    """total += weights' @ values of all heads of queries that share one of keys."""
    here = part.reshape(-1)[: total.size].reshape(total.shape)
    for head in range(weights.shape[2]):
        _weigh(here, weights[:, :, head].swapaxes(-1, -2), values[:, :, head])
        total += here
