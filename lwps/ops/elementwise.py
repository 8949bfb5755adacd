"""Elementwise ops: every element of a result depends on one element of each input, with broadcasting."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Expr, Host, Primitive, ShapedArray, Split, aval_of, narrow
from lwps.ops import reduce, shape

ANY = ("bool", "uint8", "int32", "uint32", "float32", "float64")
NUMBERS = ("uint8", "int32", "uint32", "float32", "float64")
FLOATS = ("float32", "float64")
C_TYPES = {"bool": "uchar", "uint8": "uchar", "int32": "int", "uint32": "uint", "float32": "float"}


def broadcast_shape(op: str, avals: Sequence[ShapedArray]) -> tuple[int, ...]:
    """The common shape of `avals` by NumPy's rule; TypeError by name where there is none."""
    try:
        return np.broadcast_shapes(*(a.shape for a in avals))
    except ValueError:
        got = ", ".join(map(str, avals))
        raise TypeError(f"{op}: shapes must broadcast together, got {got}; reshape one of them") from None


def elementwise_cost(*ins: ShapedArray, **params: Any) -> Cost:
    """One operation an element; every input read and every result written once."""
    out = np.broadcast_shapes(*(a.shape for a in ins))
    size = int(np.prod(out, dtype=np.int64))
    return Cost(flops=size, nbytes=sum(a.nbytes for a in ins) + 4 * size)


def elementwise_split(*ins: ShapedArray, **params: Any) -> tuple[Split, ...]:
    """Along every axis; inputs that broadcast along it are read whole by every part."""
    out = np.broadcast_shapes(*(a.shape for a in ins))
    return tuple(Split(tuple(_cut(a, axis, out) for a in ins), (axis,)) for axis in range(len(out)))


def _cut(aval: ShapedArray, axis: int, out: tuple[int, ...]) -> int | None:
    own = axis - (len(out) - aval.ndim)
    return own if own >= 0 and aval.shape[own] == out[axis] else None


def elementwise(
    name: str,
    *,
    numpy: Callable[..., Any],
    expr: str | Callable[..., str],
    vjp: Callable[..., Sequence[Any]] | None,
    dtypes: Sequence[str] = FLOATS,
    result: str | None = None,
    overwrites: Sequence[int] | None = None,
) -> Primitive:
    """A primitive whose inputs share one dtype of `dtypes`; `result` names another result dtype.

    `numpy(*ins, out=out)` as NumPy's ufuncs. `overwrites` lists the inputs whose bytes the result may
    take where avals agree (default: all of them).
    """

    def aval(*ins: ShapedArray, **params: Any) -> tuple[ShapedArray, ...]:
        if ins[0].dtype.name not in dtypes or any(a.dtype != ins[0].dtype for a in ins):
            got = ", ".join(map(str, ins))
            raise TypeError(f"{name}: inputs must share one dtype of {', '.join(dtypes)}, got {got}; use astype")
        return (ShapedArray(broadcast_shape(name, ins), result or ins[0].dtype),)

    def alias(*ins: ShapedArray, **params: Any) -> tuple[Alias, ...]:
        (out,) = aval(*ins, **params)
        candidates = range(len(ins)) if overwrites is None else overwrites
        return tuple(Alias(0, i, "overwrite") for i in candidates if ins[i] == out)

    def run(out: np.ndarray, *ins: np.ndarray, **params: Any) -> None:
        numpy(*ins, out=out, **params)

    return Primitive(
        name,
        aval=aval,
        vjp=vjp,
        cost=elementwise_cost,
        numpy=Host(run),
        opencl=Expr(expr),
        alias=alias,
        split=elementwise_split,
    )


def unbroadcast(ct: Any, x: Any) -> Any:
    """The cotangent of `x` from that of its broadcast: summed over the axes along which it was repeated."""
    shape_ = aval_of(x).shape
    if ct.shape == shape_:
        return ct
    extra = ct.ndim - len(shape_)
    axes = tuple(range(extra)) + tuple(extra + k for k, n in enumerate(shape_) if n == 1 and ct.shape[extra + k] != 1)
    return shape.reshape(reduce.sum(ct, axes), shape_)


# --- Python numbers and mixed dtypes ---------------------------------------------------------------

_RANK = {name: k for k, name in enumerate(("bool", "uint8", "int32", "uint32", "float32", "float64"))}


def promote(op: str, *xs: Any) -> tuple[Any, ...]:
    """The operands with one dtype: the widest of the arrays'; Python numbers do not widen beyond their kind.

    A float64 array beside traced values becomes float32, unless one of those is float64 itself.
    """
    traced = [x.aval for x in xs if hasattr(x, "aval")]
    floats = bool(traced) and all(a.dtype != np.float64 for a in traced)
    xs = tuple(x if _is_number(x) or hasattr(x, "aval") else narrow(x, op, floats=floats) for x in xs)
    dtypes = [aval_of(x).dtype.name for x in xs if not _is_number(x)]
    numbers = [_number_dtype(x) for x in xs if _is_number(x)]
    if {"int32", "uint32"} <= set(dtypes):
        raise TypeError(f"{op}: int32 and uint32 do not mix, got {', '.join(dtypes)}; use astype on one of them")
    dtype = max(dtypes or numbers, key=_RANK.__getitem__)
    for number in numbers:
        if {"bool": 0, "int32": 1, "float32": 2}[number] > _kind(dtype):
            dtype = number
    return tuple(full((), x, dtype) if _is_number(x) else astype(x, dtype) for x in xs)


def _kind(dtype: str) -> int:
    return 2 if dtype in FLOATS else 0 if dtype == "bool" else 1


def _is_number(x: Any) -> bool:
    return isinstance(x, bool | int | float)


def _array(x: Any, op: str) -> Any:
    return x if hasattr(x, "aval") else narrow(x, op)


def _number_dtype(x: bool | int | float) -> str:
    return "bool" if isinstance(x, bool) else "int32" if isinstance(x, int) else "float32"


def _unary(primitive: Primitive) -> Callable[[Any], Any]:
    def op(x: Any) -> Any:
        (y,) = primitive.bind(*promote(primitive.name, x))
        return y

    op.__name__ = op.__qualname__ = primitive.name
    return op


def _float_unary(primitive: Primitive) -> Callable[[Any], Any]:
    def op(x: Any) -> Any:
        (x,) = promote(primitive.name, x)
        (y,) = primitive.bind(x if x.dtype.kind == "f" else astype(x, "float32"))
        return y

    op.__name__ = op.__qualname__ = primitive.name
    return op


def _binary(primitive: Primitive) -> Callable[[Any, Any], Any]:
    def op(x: Any, y: Any) -> Any:
        (z,) = primitive.bind(*promote(primitive.name, x, y))
        return z

    op.__name__ = op.__qualname__ = primitive.name
    return op


# --- values from nothing, dtypes, shapes ----------------------------------------------------------


def _full_aval(*, shape: tuple[int, ...], value: float, dtype: str) -> tuple[ShapedArray, ...]:
    return (ShapedArray(shape, dtype),)


def _full_cost(*, shape: tuple[int, ...], value: float, dtype: str) -> Cost:
    return Cost(flops=0, nbytes=ShapedArray(shape, dtype).nbytes)


def c_literal(value: Any, dtype: str) -> str:
    """`value` as an OpenCL C constant of `dtype`."""
    if dtype == "float32":
        x = float(np.float32(value))
        if np.isnan(x):
            return "NAN"
        return f"({'-' if x < 0 else ''}INFINITY)" if np.isinf(x) else f"({x!r}f)"
    return f"({int(value)}{'u' if dtype == 'uint32' else ''})"


full_p = Primitive(
    "full",
    aval=_full_aval,
    vjp=lambda cts, ins, outs, needed, **params: (),
    cost=_full_cost,
    numpy=Host(lambda out, *, shape, value, dtype: out.fill(value)),
    opencl=Expr(lambda *, shape, value, dtype: c_literal(value, dtype)),
    alias=None,
    split=None,
)


def full(shape: Sequence[int], value: float, dtype: Any = "float32") -> Any:
    """An array of `shape` filled with a known number."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu" and not _fits(value, dtype):
        raise TypeError(f"full: the value must fit {dtype}, got {value}; use another dtype")
    with np.errstate(over="ignore"):  # a number too large for float32 is infinite there
        number = dtype.type(value)
    (y,) = full_p.bind(shape=tuple(int(n) for n in shape), value=number.item(), dtype=dtype.name)
    return y


def _fits(value: float, dtype: np.dtype) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max and value == int(value))


def zeros_like(x: Any) -> Any:
    """Zeros of the shape and dtype of `x`."""
    aval = aval_of(_array(x, "zeros_like"))
    return full(aval.shape, 0, aval.dtype)


def _astype_aval(x: ShapedArray, *, dtype: str) -> tuple[ShapedArray, ...]:
    return (ShapedArray(x.shape, dtype),)


def _astype_expr(x: ShapedArray, *, dtype: str) -> str:
    return "({0} != 0)" if dtype == "bool" else f"(({C_TYPES[dtype]}){{0}})"


def _astype_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, dtype: str) -> Sequence[Any]:
    (x,) = ins
    floats = x.dtype.kind == "f" and np.dtype(dtype).kind == "f"
    return (astype(cts[0], x.dtype) if floats else None,)


def _astype_numpy(out: np.ndarray, x: np.ndarray, *, dtype: str) -> None:
    np.copyto(out, x, casting="unsafe")


astype_p = Primitive(
    "astype",
    aval=_astype_aval,
    vjp=_astype_vjp,
    cost=elementwise_cost,
    numpy=Host(_astype_numpy),
    opencl=Expr(_astype_expr),
    alias=None,
    split=elementwise_split,
)


def astype(x: Any, dtype: Any) -> Any:
    """`x` in another dtype; floats are truncated towards zero where it is an integer."""
    x, dtype = _array(x, "astype"), np.dtype(dtype)
    if aval_of(x).dtype == dtype:
        return x
    (y,) = astype_p.bind(x, dtype=dtype.name)
    return y


def _broadcast_to_aval(x: ShapedArray, *, shape: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    target = ShapedArray(shape, x.dtype)
    if broadcast_shape("broadcast_to", (x, target)) != shape:
        raise TypeError(f"broadcast_to: x must broadcast to {target}, got {x}")
    return (target,)


def _broadcast_to_cost(x: ShapedArray, *, shape: tuple[int, ...]) -> Cost:
    return Cost(flops=0, nbytes=x.nbytes + ShapedArray(shape, x.dtype).nbytes)


broadcast_to_p = Primitive(
    "broadcast_to",
    aval=_broadcast_to_aval,
    vjp=lambda cts, ins, outs, needed, *, shape: (unbroadcast(cts[0], ins[0]),),
    cost=_broadcast_to_cost,
    numpy=Host(lambda out, x, *, shape: np.copyto(out, x)),
    opencl=Expr("{0}"),
    alias=None,
    split=None,
)


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """`x` repeated to `shape` by NumPy's rule."""
    x, shape = _array(x, "broadcast_to"), tuple(int(n) for n in shape)
    if aval_of(x).shape == shape:
        return x
    (y,) = broadcast_to_p.bind(x, shape=shape)
    return y


copy_p = elementwise(
    "copy",
    numpy=lambda x, out: np.copyto(out, x),
    expr="{0}",
    vjp=lambda cts, ins, outs, needed: cts,
    dtypes=ANY,
)
stop_gradient_p = elementwise(
    "stop_gradient",
    numpy=lambda x, out: np.copyto(out, x),
    expr="{0}",
    vjp=lambda cts, ins, outs, needed: (None,),
    dtypes=ANY,
)
copy = _unary(copy_p)
stop_gradient = _unary(stop_gradient_p)


# --- arithmetic ---------------------------------------------------------------------------------


def _mul_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x, y) = cts, ins
    return (
        unbroadcast(mul(ct, y), x) if needed[0] else None,
        unbroadcast(mul(ct, x), y) if needed[1] else None,
    )


def _div_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x, y), (z,) = cts, ins, outs
    each = div(ct, y)  # d(x/y)/dy = -(x/y)/y
    return (
        unbroadcast(each, x) if needed[0] else None,
        unbroadcast(neg(mul(each, z)), y) if needed[1] else None,
    )


def _add_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return tuple(unbroadcast(cts[0], x) if need else None for x, need in zip(ins, needed, strict=True))


def _sub_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    x, y = ins
    return (
        unbroadcast(cts[0], x) if needed[0] else None,
        unbroadcast(neg(cts[0]), y) if needed[1] else None,
    )


def _neg_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (neg(cts[0]),)


def _at_least(x: Any, y: Any) -> Any:
    return greater_equal(x, y)


def _at_most(x: Any, y: Any) -> Any:
    return less_equal(x, y)


def _pick_vjp(first: Callable[[Any, Any], Any]) -> Callable[..., Sequence[Any]]:
    """Of maximum and minimum: the cotangent goes to the input that was picked, the first one in a tie."""

    def vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
        (ct,), (x, y) = cts, ins
        picked, zero = first(x, y), full((), 0, ct.dtype)
        return (
            unbroadcast(where(picked, ct, zero), x) if needed[0] else None,
            unbroadcast(where(picked, zero, ct), y) if needed[1] else None,
        )

    return vjp


add_p = elementwise("add", numpy=np.add, expr="({0} + {1})", vjp=_add_vjp, dtypes=NUMBERS)
sub_p = elementwise("sub", numpy=np.subtract, expr="({0} - {1})", vjp=_sub_vjp, dtypes=NUMBERS)
mul_p = elementwise("mul", numpy=np.multiply, expr="({0} * {1})", vjp=_mul_vjp, dtypes=NUMBERS)
div_p = elementwise("div", numpy=np.divide, expr="({0} / {1})", vjp=_div_vjp)
neg_p = elementwise(
    "neg",
    numpy=np.negative,
    expr="(-{0})",
    vjp=_neg_vjp,
    dtypes=("int32", *FLOATS),
)
# fmax would drop a NaN that NumPy keeps
maximum_p = elementwise(
    "maximum",
    numpy=np.maximum,
    expr="({0} >= {1} || {0} != {0} ? {0} : {1})",
    vjp=_pick_vjp(_at_least),
    dtypes=NUMBERS,
)
minimum_p = elementwise(
    "minimum",
    numpy=np.minimum,
    expr="({0} <= {1} || {0} != {0} ? {0} : {1})",
    vjp=_pick_vjp(_at_most),
    dtypes=NUMBERS,
)
add, sub, mul = _binary(add_p), _binary(sub_p), _binary(mul_p)
maximum, minimum, neg = _binary(maximum_p), _binary(minimum_p), _unary(neg_p)


def div(x: Any, y: Any) -> Any:
    """`x / y` in floats; integers become float32 first."""
    x, y = promote("div", x, y)
    if x.dtype.kind != "f":
        x, y = astype(x, "float32"), astype(y, "float32")
    (z,) = div_p.bind(x, y)
    return z


def square(x: Any) -> Any:
    """`x * x`."""
    return mul(x, x)


# --- functions of floats ------------------------------------------------------------------------


def _rsqrt_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.sqrt(x, out=out)
    np.reciprocal(out, out=out)


def _rsqrt_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (y,) = cts, outs  # d x^(-1/2) = -1/2 y^3
    return (mul(mul(ct, -0.5), mul(y, square(y))),)


def _relu_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.maximum(x, x.dtype.type(0), out=out)


def _relu_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (where(greater(outs[0], 0), cts[0], 0),)  # reads y only, so that x can be freed


exp_p = elementwise("exp", numpy=np.exp, expr="exp({0})", vjp=lambda cts, ins, outs, needed: (mul(cts[0], outs[0]),))
log_p = elementwise("log", numpy=np.log, expr="log({0})", vjp=lambda cts, ins, outs, needed: (div(cts[0], ins[0]),))
sqrt_p = elementwise(
    "sqrt",
    numpy=np.sqrt,
    expr="sqrt({0})",
    vjp=lambda cts, ins, outs, needed: (div(mul(cts[0], 0.5), outs[0]),),
)
rsqrt_p = elementwise("rsqrt", numpy=_rsqrt_numpy, expr="(1.0f / sqrt({0}))", vjp=_rsqrt_vjp)
tanh_p = elementwise(
    "tanh",
    numpy=np.tanh,
    expr="tanh({0})",
    vjp=lambda cts, ins, outs, needed: (mul(cts[0], sub(1, square(outs[0]))),),
)
relu_p = elementwise("relu", numpy=_relu_numpy, expr="({0} <= 0 ? 0 : {0})", vjp=_relu_vjp)
exp, log, sqrt, rsqrt = map(_float_unary, (exp_p, log_p, sqrt_p, rsqrt_p))
tanh, relu = _float_unary(tanh_p), _float_unary(relu_p)


# --- comparisons and choice ---------------------------------------------------------------------


def _no_cotangent(cts: Any, ins: Any, outs: Any, needed: Any, **params: Any) -> Sequence[Any]:
    return (None,) * len(ins)


def _comparison(name: str, ufunc: Any, sign: str) -> Primitive:
    return elementwise(
        name,
        numpy=ufunc,
        expr=f"({{0}} {sign} {{1}})",
        vjp=_no_cotangent,
        dtypes=ANY,
        result="bool",
        overwrites=(),
    )


equal_p = _comparison("equal", np.equal, "==")
not_equal_p = _comparison("not_equal", np.not_equal, "!=")
less_p = _comparison("less", np.less, "<")
less_equal_p = _comparison("less_equal", np.less_equal, "<=")
greater_p = _comparison("greater", np.greater, ">")
greater_equal_p = _comparison("greater_equal", np.greater_equal, ">=")
equal, not_equal = _binary(equal_p), _binary(not_equal_p)
less, less_equal = _binary(less_p), _binary(less_equal_p)
greater, greater_equal = _binary(greater_p), _binary(greater_equal_p)

logical_and_p = elementwise(
    "logical_and", numpy=np.logical_and, expr="({0} && {1})", vjp=_no_cotangent, dtypes=("bool",)
)
logical_or_p = elementwise("logical_or", numpy=np.logical_or, expr="({0} || {1})", vjp=_no_cotangent, dtypes=("bool",))
logical_not_p = elementwise("logical_not", numpy=np.logical_not, expr="(!{0})", vjp=_no_cotangent, dtypes=("bool",))
logical_and, logical_or, logical_not = _binary(logical_and_p), _binary(logical_or_p), _unary(logical_not_p)


def _where_aval(cond: ShapedArray, x: ShapedArray, y: ShapedArray) -> tuple[ShapedArray, ...]:
    if cond.dtype != np.bool_ or x.dtype != y.dtype:
        raise TypeError(f"where: the condition must be bool and x, y share a dtype, got {cond}, {x}, {y}; use astype")
    return (ShapedArray(broadcast_shape("where", (cond, x, y)), x.dtype),)


def _where_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (cond, x, y) = cts, ins
    zero = full((), 0, ct.dtype)
    return (
        None,
        unbroadcast(where(cond, ct, zero), x) if needed[1] else None,
        unbroadcast(where(cond, zero, ct), y) if needed[2] else None,
    )


def _where_numpy(out: np.ndarray, cond: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=cond)


def _where_alias(cond: ShapedArray, x: ShapedArray, y: ShapedArray) -> tuple[Alias, ...]:
    (out,) = _where_aval(cond, x, y)
    return (Alias(0, 2, "overwrite"),) if y == out else ()  # x would be lost before it is read


where_p = Primitive(
    "where",
    aval=_where_aval,
    vjp=_where_vjp,
    cost=elementwise_cost,
    numpy=Host(_where_numpy),
    opencl=Expr("({0} ? {1} : {2})"),
    alias=_where_alias,
    split=elementwise_split,
)


def where(cond: Any, x: Any, y: Any) -> Any:
    """Elements of `x` where `cond` holds, of `y` elsewhere."""
    (z,) = where_p.bind(_array(cond, "where"), *promote("where", x, y))
    return z
