"""Names of NumPy that are not here, and what to write instead."""

import difflib
from collections.abc import Iterable

from lwps.ops import elementwise

_PURE = "x.at[index].set(y), or where; arrays never change"
_SIZED = "where(condition, x, 0), or NumPy on known arrays; shapes cannot depend on values"
_KNOWN = "NumPy on known arrays"
_SORT = "sort and an index"
_INT = "int32, or uint32"

# where a name that looks alike would lead astray
INSTEAD = {
    "random": "lwps.random, whose functions take a key",
    "linalg": "lwps.ops.statistics.norm for norms, matmul for products, NumPy on known arrays for the rest",
    "fft": _KNOWN,
    "polynomial": _KNOWN,
    **dict.fromkeys(("nonzero", "flatnonzero", "argwhere", "unique", "extract", "compress", "delete"), _SIZED),
    **dict.fromkeys(("put", "place", "copyto", "put_along_axis", "fill_diagonal", "putmask"), _PURE),
    "kron": "einsum, with reshape",
    "cross": "products of slices",
    "convolve": "lwps.ops.conv.conv2d",
    "correlate": "lwps.ops.conv.conv2d",
    "copy": "the array itself; arrays never change",
    "ascontiguousarray": "asarray",
    "vectorize": "functions of whole arrays",
    "apply_along_axis": "functions of whole arrays with an axis",
    "frompyfunc": "lwps.core.Primitive",
    **dict.fromkeys(("partition", "argpartition"), _SORT),
    **dict.fromkeys(("histogram", "bincount", "digitize", "searchsorted", "interp"), _KNOWN),
    **dict.fromkeys(("float16", "half", "bfloat16", "single"), "float32"),
    "double": "float64, on the host only",
    **dict.fromkeys(("complex64", "complex128", "real", "imag", "conj", "angle"), "real and imaginary part as floats"),
    **dict.fromkeys(("int8", "int16", "int64", "int_", "intp", "longlong", "integer"), _INT),
    **dict.fromkeys(("uint16", "uint64", "uint"), "uint32, or uint8"),
    **dict.fromkeys(("save", "savez", "load", "savetxt", "loadtxt"), "lwps.save and lwps.load"),
    "ndarray": "numpy.ndarray for arrays of the host; results of steps are lwps.Array, traced values have .aval",
    "errstate": "isfinite; no processor warns of NaN",
    "testing": "numpy.testing",
}


def refusal(name: str, names: Iterable[str]) -> str:
    """The message for a name that is none of `names`."""
    near = difflib.get_close_matches(name, list(names), n=1)
    if name in INSTEAD:
        instead = f"use {INSTEAD[name]}"
    elif name in vars(elementwise) and not name.endswith("_p"):
        instead = f"NumPy has no such name; use lwps.ops.elementwise.{name}"
    elif near:
        instead = f"the nearest is {near[0]!r}"
    else:
        instead = "docs/numpy.md has all of them"
    return f"lwps.numpy: must be a name it has, got {name!r}; {instead}"
