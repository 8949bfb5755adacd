"""Products of arrays summed over named axes, made of transposes, reshapes and matrix products.

The axes of two operands are batches (in both and in the result), summed (in both only), rows (in the first) and columns
(in the second). So their product is one matrix product for each batch; without summed axes, or without rows and
columns, it is an elementwise one.
"""

import math
import string
from collections.abc import Collection, Sequence
from typing import Any

from lwps.core import aval_of
from lwps.ops import reduce, shape
from lwps.ops.elementwise import FLOATS, known_array, mul, promote
from lwps.ops.matmul import matmul_p


def einsum(subscripts: str, *operands: Any) -> Any:
    """Sums of products by Einstein's convention: `einsum("bhqd,bhkd->bhqk", q, k)`.

    Each operand has a letter for each axis. Axes of one letter go together, those of one element with any other;
    letters that the result lacks are summed. `...` stands for any axes. Without `->` the result has the letters that
    occur once, in alphabetical order. More than two operands are multiplied from left to right.
    """
    operands = promote("einsum", *operands)
    terms, out = _letters(subscripts, [aval_of(x).ndim for x in operands])
    x, letters = operands[0], terms[0]
    for k, y in enumerate(operands[1:], 1):
        x, letters = _product((x, letters), (y, terms[k]), {*out}.union(*terms[k + 1 :]))
    x, letters = _summed((x, letters), out)
    return shape.transpose(x, [letters.index(letter) for letter in out])


def tensordot(a: Any, b: Any, axes: int | Sequence[Any] = 2) -> Any:
    """Sums of products over `axes`: the last ones of `a` and first ones of `b`, so many; or a pair of lists of axes."""
    a, b = promote("tensordot", a, b)
    if isinstance(axes, int):
        axes = range(a.ndim - axes, a.ndim), range(axes)
    of_a, of_b = ((axis,) if isinstance(axis, int) else tuple(axis) for axis in axes)
    if len(of_a) != len(of_b):
        raise ValueError(f"tensordot: there must be as many axes of a as of b, got {axes}")
    of_a, of_b = shape.positions("tensordot", of_a, a.ndim), shape.positions("tensordot", of_b, b.ndim)
    first, unused = string.ascii_letters[: a.ndim], iter(string.ascii_letters[a.ndim :])
    second = "".join(first[of_a[of_b.index(k)]] if k in of_b else next(unused) for k in range(b.ndim))
    kept = "".join(letter for letter in first + second if (first + second).count(letter) == 1)
    return einsum(f"{first},{second}->{kept}", a, b)


def dot(a: Any, b: Any) -> Any:
    """Sums of products over the last axis of `a` and the last but one of `b`, or its only one; scalars multiply."""
    a, b = promote("dot", a, b)
    if a.ndim == 0 or b.ndim == 0:
        return mul(a, b)
    return tensordot(a, b, (-1, max(b.ndim - 2, 0)))


def inner(a: Any, b: Any) -> Any:
    """Sums of products over the last axes; scalars multiply."""
    a, b = promote("inner", a, b)
    return mul(a, b) if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, (-1, -1))


def vdot(a: Any, b: Any) -> Any:
    """The sum of the products of all elements."""
    return dot(*(shape.reshape(known_array(x, "vdot"), -1) for x in (a, b)))


def outer(a: Any, b: Any) -> Any:
    """Each element of `a` (a row of the result) times each of `b`."""
    a, b = promote("outer", a, b)
    return mul(shape.reshape(a, (-1, 1)), shape.reshape(b, (1, -1)))


# --- subscripts -------------------------------------------------------------------------------------


def _letters(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, with letters for `...` too."""
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: subscripts must be text as 'ij,jk->ik', got {subscripts!r}")
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: there must be subscripts for each of {len(ndims)} operands, got {subscripts!r}")
    counts = [ndim - len(term.replace("...", "")) for term, ndim in zip(terms, ndims, strict=True)]
    for term, ndim, count in zip(terms, ndims, counts, strict=True):
        if count < 0 or (count and "..." not in term):
            raise ValueError(f"einsum: an operand must have a letter for each axis, got {term!r} for {ndim} axes")
    free = "".join(letter for letter in string.ascii_letters if letter not in subscripts)
    dots = free[: max(counts)]
    terms = [term.replace("...", dots[len(dots) - count :]) for term, count in zip(terms, counts, strict=True)]
    once = "".join(sorted(letter for letter in {*left} & {*string.ascii_letters} if left.count(letter) == 1))
    out = right.replace("...", dots) if arrow else dots + once
    _check(subscripts, terms, out)
    return terms, out


def _check(subscripts: str, terms: Sequence[str], out: str) -> None:
    for term in (*terms, out):
        if not {*term} <= {*string.ascii_letters}:
            raise ValueError(f"einsum: subscripts must be letters, commas, ... and one ->, got {subscripts!r}")
        if len({*term}) < len(term):
            raise ValueError(
                f"einsum: a letter must occur once in an operand and in the result, got {term!r} in {subscripts!r};"
                " take a diagonal with lwps.numpy.diagonal before"
            )
    if not {*out} <= {*"".join(terms)}:
        raise ValueError(f"einsum: letters of the result must be those of operands, got {out!r} in {subscripts!r}")


# --- products ---------------------------------------------------------------------------------------

Named = tuple[Any, str]  # an array with the letters of its axes


def _summed(x: Named, kept: Collection[str]) -> Named:
    """Summed over the axes that are not kept."""
    array, letters = x
    axes = [k for k, letter in enumerate(letters) if letter not in kept]
    return (reduce.sum(array, axes), "".join(c for c in letters if c in kept)) if axes else x


def _without_ones(x: Named, y: Named) -> Named:
    """Without the axes of one element that go with longer ones of `y`."""
    (array, letters), (other, others) = x, y
    longer = {c for c, n in zip(others, other.shape, strict=True) if n != 1}
    axes = [k for k, c in enumerate(letters) if c in longer and array.shape[k] == 1]
    return (shape.squeeze(array, axes), "".join(c for k, c in enumerate(letters) if k not in axes)) if axes else x


def _product(x: Named, y: Named, kept: Collection[str]) -> Named:
    """The product of two operands, summed over what nobody needs any more."""
    x, y = _without_ones(x, y), _without_ones(y, x)
    x, y = _summed(x, {*kept, *y[1]}), _summed(y, {*kept, *x[1]})
    (a, first), (b, second) = x, y
    for letter in {*first} & {*second}:
        if a.shape[first.index(letter)] != b.shape[second.index(letter)]:
            got = f"{letter!r} in {aval_of(a)} and {aval_of(b)}"
            raise TypeError(f"einsum: axes of one letter must have one size, got {got}")
    batch = "".join(c for c in first if c in second and c in kept)
    summed = "".join(c for c in first if c in second and c not in kept)
    rows, columns = ("".join(c for c in s if c not in t) for s, t in ((first, second), (second, first)))
    if summed and (rows or columns) and a.dtype.name in FLOATS:
        return _matrix_product(x, y, batch, rows, summed, columns), batch + rows + columns
    everything = batch + rows + columns + summed
    return _summed((mul(_aligned(x, everything), _aligned(y, everything)), everything), kept)


def _aligned(x: Named, letters: str) -> Any:
    """With an axis for each of `letters`, of one element where there is none."""
    array, own = x
    sizes = dict(zip(own, array.shape, strict=True))
    array = shape.transpose(array, [own.index(c) for c in letters if c in sizes])
    return shape.reshape(array, [sizes.get(c, 1) for c in letters])


def _matrix_product(x: Named, y: Named, batch: str, rows: str, summed: str, columns: str) -> Any:
    """[*batch, *rows, *columns]; an operand that lies there transposed is read so, any other order is copied."""
    sizes = dict(zip(x[1] + y[1], (*x[0].shape, *y[0].shape), strict=True))
    transpose_x, transpose_y = x[1] == batch + summed + rows, y[1] == batch + columns + summed
    left = (summed, rows) if transpose_x else (rows, summed)
    right = (columns, summed) if transpose_y else (summed, columns)

    def matrices(operand: Named, pair: tuple[str, str]) -> Any:
        array = _aligned(operand, batch + pair[0] + pair[1])
        groups = (batch, *pair) if batch else pair
        return shape.reshape(array, [math.prod(sizes[c] for c in group) for group in groups])

    (z,) = matmul_p.bind(matrices(x, left), matrices(y, right), transpose_x=transpose_x, transpose_y=transpose_y)
    return shape.reshape(z, [sizes[c] for c in batch + rows + columns])
