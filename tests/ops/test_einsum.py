"""Sums of products over named axes are NumPy's, and products of two are one matrix product."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lwps
from lwps import tracing
from lwps.core import ShapedArray, aval_of, evaluate_program
from lwps.ops.einsum import dot, einsum, inner, outer, tensordot, vdot

SIZES = {"a": 2, "b": 3, "c": 4, "d": 1, "e": 5}


def arrays(shapes):
    return [np.random.default_rng(k).standard_normal(shape) for k, shape in enumerate(shapes)]


@st.composite
def contractions(draw):
    """(subscripts, operands): one to three operands, some axes of one element, some `...`."""
    terms = draw(st.lists(st.permutations("abcde").map(lambda p: "".join(p)), min_size=1, max_size=3))
    terms = [term[: draw(st.integers(0, 4))] for term in terms]
    dots = draw(st.lists(st.integers(0, 2), min_size=len(terms), max_size=len(terms)))
    used = sorted({*"".join(terms)})
    out = "".join(draw(st.permutations(used))[: draw(st.integers(0, len(used)))])
    shapes = [
        (*(2, 3)[2 - n :], *(draw(st.sampled_from((SIZES[c], SIZES[c], 1))) for c in term))
        for term, n in zip(terms, dots, strict=True)
    ]
    left = ",".join(("..." if n else "") + term for term, n in zip(terms, dots, strict=True))
    arrow = draw(st.booleans())
    return (f"{left}->{'...' if any(dots) else ''}{out}" if arrow else left), arrays(shapes)


@given(case=contractions())
@example(case=("bhqd,bhkd->bhqk", arrays([(2, 3, 4, 5), (2, 3, 6, 5)])))
@example(case=("...ij,jk", arrays([(2, 3, 4), (4, 5)])))
@example(case=("ij, jk -> ki", arrays([(3, 4), (4, 5)])))
@example(case=("i,i->", arrays([(3,), (3,)])))
@example(case=("ij,jk->", arrays([(3, 0), (0, 2)])))
def test_einsum_is_numpys(case):
    subscripts, operands = case
    want = np.einsum(subscripts, *operands)
    got = einsum(subscripts, *operands)
    assert np.shape(got) == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


def primitives(subscripts, *shapes):
    avals = [ShapedArray(shape, "float32") for shape in shapes]
    program = tracing.trace(lambda *operands: einsum(subscripts, *operands), *avals)
    return [eqn.primitive.name for eqn in program.eqns if eqn.runs]


def test_a_product_of_two_is_one_matrix_product():
    q, k = (2, 3, 4, 5), (2, 3, 6, 5)
    assert primitives("bhqd,bhkd->bhqk", q, k) == ["matmul"]
    assert primitives("bsf,fn->bsn", (2, 3, 4), (4, 5)) == ["matmul"]
    assert primitives("ki,kj->ij", (3, 4), (3, 5)) == ["matmul"]
    assert primitives("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)) == ["transpose", "transpose", "matmul"]
    assert primitives("i,j->ij", (3,), (4,)) == ["mul"]
    assert primitives("ij,ij->i", (3, 4), (3, 4)) == ["mul", "reduce_sum"]


def test_integers_are_multiplied_and_summed():
    x, y = np.arange(6, dtype=np.int32).reshape(2, 3), np.arange(12, dtype=np.int32).reshape(3, 4)
    np.testing.assert_array_equal(einsum("ij,jk->ik", x, y), x @ y, strict=True)


def test_gradients_are_those_of_the_product():
    x, y = arrays([(2, 3, 4), (2, 4, 5)])
    weights = np.random.default_rng(9).standard_normal((5, 2, 3))
    program = tracing.trace(lwps.grad(lambda x: (einsum("bij,bjk->kbi", x, y) * weights).sum()), aval_of(x))
    np.testing.assert_allclose(evaluate_program(program, [x])[0], np.einsum("kbi,bjk->bij", weights, y))


@pytest.mark.parametrize(
    ("a", "b", "axes"),
    [
        ((2, 3), (3, 4), 1),
        ((2, 3), (2, 3), 2),
        ((2,), (3,), 0),
        ((2, 3, 4), (4, 5, 2), ([0, 2], [2, 0])),
        ((2, 3, 4), (5, 3), (1, -1)),
    ],
)
def test_tensordot_is_numpys(a, b, axes):
    x, y = arrays([a, b])
    np.testing.assert_allclose(tensordot(x, y, axes), np.tensordot(x, y, axes))


SHAPES = [((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((2, 3, 4), (5, 4, 6)), ((4,), (5, 4, 6))]


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_dot_is_numpys(a, b):
    x, y = arrays([a, b])
    np.testing.assert_allclose(dot(x, y), np.dot(x, y))


@pytest.mark.parametrize(("a", "b"), [((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3))])
def test_inner_and_outer_are_numpys(a, b):
    x, y = arrays([a, b])
    np.testing.assert_allclose(inner(x, y), np.inner(x, y))
    np.testing.assert_allclose(outer(x, y), np.outer(x, y))


def test_vdot_is_numpys():
    x, y = arrays([(2, 3), (3, 2)])
    np.testing.assert_allclose(vdot(x, y), np.vdot(x, y))


X = np.ones((3, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: einsum(X, [0, 1]), TypeError, "einsum: subscripts must be text as 'ij,jk->ik', got"),
        (
            lambda: einsum("ij,jk", X),
            ValueError,
            "einsum: there must be subscripts for each of 1 operands, got 'ij,jk'",
        ),
        (lambda: einsum("i", X), ValueError, "einsum: an operand must have a letter for each axis, got 'i' for 2 axes"),
        (lambda: einsum("ijk->", X), ValueError, "einsum: an operand must have a letter for each axis, got 'ijk'"),
        (
            lambda: einsum("ii->i", X),
            ValueError,
            "einsum: a letter must occur once in an operand and in the result, got 'ii' .* take a diagonal with",
        ),
        (lambda: einsum("ij->ijj", X), ValueError, "einsum: a letter must occur once .* got 'ijj'"),
        (lambda: einsum("ij->ik", X), ValueError, "einsum: letters of the result must be those of operands, got 'ik'"),
        (lambda: einsum("i1->i", X), ValueError, "einsum: subscripts must be letters, commas, ... and one ->, got"),
        (
            lambda: einsum("ij,jk", X, X[:2]),
            TypeError,
            r"einsum: axes of one letter must have one size, got 'j' in float64\[3,3\] and float64\[2,3\]",
        ),
        (lambda: tensordot(X, X, ([0], [0, 1])), ValueError, "tensordot: there must be as many axes of a as of b"),
        (lambda: tensordot(X, X, (2, 0)), ValueError, "tensordot: axes must be different ones of 2"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
