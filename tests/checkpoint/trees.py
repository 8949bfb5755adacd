"""Pytrees that files can hold, and whether two are the same to the bit."""

from typing import Any, NamedTuple

import attrs
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lwps import tree

DTYPES = ("bool", "uint8", "int32", "uint32", "float32", "float64")


class Moments(NamedTuple):
    mean: Any
    square: Any


@attrs.frozen
class Own:
    """A class of a user's."""

    w: Any
    b: Any


leaves = st.one_of(
    # every bit pattern: NaN with its payload, infinities, -0.0; zero-size and 0-d
    st.sampled_from(DTYPES).flatmap(lambda d: arrays(d, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.none(),
)
keys = st.text("ab/~.é", max_size=3) | st.integers(0, 9)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(keys, inner, max_size=3).filter(lambda d: len({str(k) for k in d}) == len(d)),
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.builds(Moments, inner, inner),
    ),
    max_leaves=8,
)


def same(x: Any, y: Any) -> bool:
    """Whether two leaves have one type, and arrays one dtype, shape and bytes."""
    if not isinstance(x, np.ndarray):
        return type(x) is type(y) and x == y
    return (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


def assert_same(x: Any, y: Any) -> None:
    assert tree.structure(x) == tree.structure(y)
    assert all(same(a, b) for a, b in zip(tree.leaves(x), tree.leaves(y), strict=True))
