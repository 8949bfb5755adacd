"""Products along axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Host, Primitive, ShapedArray, Variant, aval_of
from lwps.ops.arithmetic import mul
from lwps.ops.concatenate import concatenate
from lwps.ops.reduce import (
    PRODUCT,
    Axes,
    canonical_axes,
    folding,
    form_of,
    partials,
    reduce_runs,
    reduced,
    reduction_cost,
    reduction_split,
    widened,
)
from lwps.ops.scan import cumprod
from lwps.ops.shape import reshape, slice
from lwps.ops.values import full, promote


def _aval(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    dtype = "int32" if x.dtype.name in ("bool", "uint8") else x.dtype
    return (ShapedArray(reduced("reduce_prod", x, axes), dtype),)


def _vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axes: tuple[int, ...]) -> Sequence[Any]:
    """dx is dy times the product of all others: what stands before times what stands behind, right at zeros too."""
    (ct,), (x,) = cts, ins
    if x.dtype.kind != "f":
        return (None,)
    form = form_of(aval_of(x), axes)
    if 0 in x.shape:
        return (full(x.shape, 0, x.dtype),)
    flat = reshape(x, (form.outer, form.n, form.inner))
    one = full((form.outer, 1, form.inner), 1, x.dtype)
    kept = (form.outer, form.n - 1, form.inner)
    before = concatenate([one, slice(cumprod(flat, 1), (0, 0, 0), kept)], 1)
    behind = concatenate([slice(cumprod(flat, 1, reverse=True), (0, 1, 0), flat.shape), one], 1)
    others = mul(mul(before, behind), reshape(ct, (form.outer, 1, form.inner)))
    return (reshape(others, x.shape),)


def _scratch(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    (out,) = _aval(x, axes=axes)
    return partials(form_of(x, axes), out.dtype)


def _numpy(out: np.ndarray, x: np.ndarray, *, axes: tuple[int, ...]) -> None:
    form = form_of(aval_of(x), axes)
    rows = x.reshape(form.outer, form.n, form.inner)
    np.multiply.reduce(rows, axis=1, dtype=out.dtype, out=out.reshape(form.outer, form.inner))


reduce_prod_p = Primitive(
    "reduce_prod",
    aval=_aval,
    vjp=_vjp,
    cost=reduction_cost,
    numpy=Host(_numpy),
    opencl=(Variant("reduce.cl", folding(PRODUCT), scratch=_scratch),),
    alias=None,
    split=reduction_split,
)


def prod(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The product along `axis` (one, several, or by default all); bool and uint8 multiply as int32."""
    (x,) = promote("prod", x)
    axes = canonical_axes("prod", axis, x.ndim)
    return reduce_runs(reduce_prod_p, x if axes else widened(x), axes, keepdims)
