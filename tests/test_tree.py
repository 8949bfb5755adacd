"""Pytrees: what is a node, what is a leaf, and that nothing is lost between."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import tracing, tree
from lwps.core import ShapedArray

# names that sort otherwise than they were put in, empty nodes and None (an empty tree): each has broken a flatten
trees = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("zab10"), inner) | st.tuples(inner),
    max_leaves=12,
)


@given(trees)
def test_unflatten_undoes_flatten(x):
    leaves, structure = tree.flatten(x)
    assert tree.unflatten(structure, leaves) == x
    assert leaves == tree.leaves(x)
    assert structure == tree.structure(x)
    assert len(tree.paths(x)) == len(leaves)


@given(trees)
def test_map_changes_leaves_and_nothing_else(x):
    doubled = tree.map(lambda n, m: n + m, x, x)
    assert tree.leaves(doubled) == [2 * n for n in tree.leaves(x)]
    assert tree.structure(doubled) == tree.structure(x)


def test_leaves_of_a_dict_come_in_the_order_of_its_keys():
    assert tree.leaves({"b": 1, "a": 2}) == [2, 1]
    assert list(tree.map(lambda n: n, {"b": 1, "a": 2})) == ["b", "a"]


def test_paths_name_keys_positions_and_fields():
    @attrs.frozen
    class Conv:
        w: int
        b: int

    assert tree.paths({"layer1": [Conv(1, 2), (3,)]}) == [
        ("layer1", "0", "w"),
        ("layer1", "0", "b"),
        ("layer1", "1", "0"),
    ]


def user_classes():
    @dataclass
    class Plain:
        w: Any
        inner: Any = None

    @dataclass(frozen=True)
    class Frozen:
        w: Any
        inner: Any = None

    @attrs.define
    class Slotted:
        w: Any
        inner: Any = None

    @attrs.frozen
    class Validated:  # as a class of parameters may be, which knows nothing of tracers
        w: Any = attrs.field(validator=attrs.validators.instance_of(np.ndarray))
        inner: Any = None

    class Named(NamedTuple):
        w: Any
        inner: Any = None

    return [Plain, Frozen, Slotted, Validated, Named]


@pytest.mark.parametrize("kind", user_classes(), ids=lambda kind: kind.__name__)
def test_a_users_class_is_a_node_from_the_first_time_it_is_met(kind):
    x, y = np.zeros(2), np.ones(3)
    node = {"model": kind(x, kind(y))}  # the inner one is met only when the outer one has become a node
    leaves, structure = tree.flatten(node)
    assert [id(leaf) for leaf in leaves] == [id(x), id(y)]
    back = tree.unflatten(structure, ["first", "second"])["model"]
    assert type(back) is kind
    assert (back.w, back.inner.w) == ("first", "second")
    assert tree.structure({"model": kind(y, kind(x))}) == structure


@pytest.mark.parametrize("kind", user_classes(), ids=lambda kind: kind.__name__)
def test_a_users_class_goes_through_a_trace(kind):
    program = tracing.trace(lambda p: {"p": p}, kind(np.zeros(2, np.float32), np.ones((), np.int32)))
    assert [str(v.aval) for v in program.inputs] == ["float32[2]", "int32[]"]
    back = tree.unflatten(program.out_tree, [1, 2])["p"]
    assert (type(back), back.w, back.inner) == (kind, 1, 2)


def test_what_stands_for_an_array_is_a_leaf():
    aval = ShapedArray((2, 3), "float32")
    assert tree.leaves([aval, {"x": aval}]) == [aval, aval]


def test_trees_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"tree\.map: pytrees must have the same structure, got .*'a'.*'b'"):
        tree.map(lambda x, y: x, {"a": 1}, {"b": 1})
