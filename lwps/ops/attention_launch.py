"""The launches of scaled dot-product attention, whose work is cut differently on CPUs and on GPUs."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Device, Launch, Operand, ShapedArray, Variant

Avals = tuple[ShapedArray, ...]


@attrs.frozen(eq=False)
class Cut:
    """How rows of D numbers are shared out: `file` has the kernels, built with `options(D)`.

    `items(rows, D)` work-items, in groups of `group`, own so many rows of one head; a work-item multiplies
    `product_rows` rows of ct and out.
    """

    file: str
    applies: Callable[..., bool]
    options: Callable[[int], str]
    items: Callable[[int, int], int]
    group: int
    product_rows: int

    def launch(self, kernel: str, items: tuple[int, ...], args: Sequence[Any], size: int) -> Launch:
        """`items` along the first axis are rounded up to whole groups."""
        first = -(-items[0] // self.group) * self.group
        local = (self.group, *(1,) * (len(items) - 1))
        return Launch(kernel, (first, *items[1:]), local, tuple(args), self.options(size))


def forward_variant(cut: Cut) -> Variant:
    """One launch: some queries of a head for each work-item or group."""

    def launch(device: Device, outs: Any, ins: Any, scratch: Any, *, causal: bool, scale: float) -> tuple[Launch, ...]:
        q, k, _, *masks = ins
        if q.size == 0:
            return ()
        args = (*outs, *ins[:3], *_rest(q, k, masks, causal, scale))
        batch, queries, heads, size = q.shape
        items = cut.items(queries, size), heads, batch
        return (cut.launch("attention", items, args, size),)

    return Variant(cut.file, launch, cut.applies)


def backward_variant(cut: Cut) -> Variant:
    """Three launches: products of rows, then some queries of a head at a time, then some keys."""

    def launch(device: Device, outs: Any, ins: Any, scratch: Any, *, causal: bool, scale: float) -> tuple[Launch, ...]:
        (dq, dk, dv), (ct, q, k, v, out, lse, *masks), (delta,) = outs, ins, scratch
        (batch, queries, heads, size), (_, keys, k_heads, _) = q.shape, k.shape
        args = (ct, q, k, v, lse, delta, *_rest(q, k, masks, causal, scale))
        rows = batch * heads * queries
        launches = []
        if q.size:
            counts = map(np.int32, (queries, heads, rows, cut.product_rows))
            items = (-(-rows // cut.product_rows),)
            launches.append(cut.launch("row_products", items, (delta, ct, out, *counts), size))
            of_queries = cut.items(queries, size), heads, batch
            launches.append(cut.launch("attention_dq", of_queries, (dq, *args), size))
        if k.size:
            of_keys = cut.items(keys, size), k_heads, batch
            launches.append(cut.launch("attention_dkv", of_keys, (dk, dv, *args), size))
        return tuple(launches)

    return Variant(cut.file, launch, cut.applies, _delta)


def _delta(ct: ShapedArray, q: ShapedArray, *others: ShapedArray, **params: Any) -> Avals:
    """A number for each row of scores."""
    batch, queries, heads, _ = q.shape
    return (ShapedArray((batch, heads, queries), q.dtype),)


def _rest(q: Operand, k: Operand, masks: Sequence[Operand], causal: bool, scale: float) -> tuple[Any, ...]:
    """The arguments behind arrays: what may be seen, counts, the scale."""
    (kind, mask) = (0, q) if not masks else (1 if masks[0].dtype == np.bool_ else 2, masks[0])  # q: never read
    steps = [int(np.prod(mask.shape[a + 1 :])) if kind and mask.shape[a] > 1 else 0 for a in range(4)]
    counts = q.shape[1], k.shape[1], q.shape[2] // max(1, k.shape[2])
    return (np.int32(causal), np.int32(kind), mask, *map(np.int32, (*steps, *counts)), np.float32(scale))
