"""docs/numpy.md: which names of `lwps.numpy` take which dtypes, and where they run; made from the ops themselves.

python -m tests.test_numpy_page    writes the table anew
"""

import inspect
from pathlib import Path

import numpy as np

import lwps
import lwps.numpy as lnp
from lwps.core import DTYPES, Device, ShapedArray
from lwps.runtime.kernels import recipe

PAGE = Path(__file__).parents[1] / "docs" / "numpy.md"
BEGIN, END = "<!-- table: python -m tests.test_numpy_page -->\n", "<!-- end of table -->"
CREATION = ("arange", "array", "asarray", "empty", "eye", "full", "identity", "linspace", "ones", "tri", "zeros")
# how to call what does not take arrays alone; x has the shape [2, 2]
CALLS = {
    "array_split": lambda f, x: f(x, 2),
    "astype": lambda f, x: f(x, "float32"),
    "broadcast_to": lambda f, x: f(x, (3, 2, 2)),
    "clip": lambda f, x: f(x, x, x),
    "concatenate": lambda f, x: f([x, x]),
    "einsum": lambda f, x: f("ij,jk", x, x),
    "expand_dims": lambda f, x: f(x, 0),
    "full_like": lambda f, x: f(x, 1),
    "hstack": lambda f, x: f([x, x]),
    "meshgrid": lambda f, x: f(x[0], x[1]),
    "moveaxis": lambda f, x: f(x, 0, 1),
    "pad": lambda f, x: f(x, 1),
    "power": lambda f, x: f(x, 3),
    "percentile": lambda f, x: f(x, 30),
    "quantile": lambda f, x: f(x, 0.3),
    "repeat": lambda f, x: f(x, 2),
    "reshape": lambda f, x: f(x, (4,)),
    "roll": lambda f, x: f(x, 1),
    "split": lambda f, x: f(x, 2),
    "stack": lambda f, x: f([x, x]),
    "swapaxes": lambda f, x: f(x, 0, 1),
    "take": lambda f, x: f(x, np.array([1, 0]), 0),
    "take_along_axis": lambda f, x: f(x, np.array([[1], [0]]), 1),
    "tensordot": lambda f, x: f(x, x, 1),
    "tile": lambda f, x: f(x, 2),
    "vstack": lambda f, x: f([x, x]),
    "where": lambda f, x: f(x, x, x),
}


def functions():
    """Names in `lwps.numpy` that take arrays."""
    return [
        name
        for name in sorted(lnp.__all__, key=str.lower)
        if callable(getattr(lnp, name)) and not isinstance(getattr(lnp, name), type) and name not in CREATION
    ]


def call_of(name):
    fn = getattr(lnp, name)
    if name in CALLS:
        return lambda x: lwps.tree.leaves(CALLS[name](fn, x))
    required = [p for p in inspect.signature(fn).parameters.values() if p.default is p.empty]
    return lambda x: lwps.tree.leaves(fn(*[x] * len(required)))


def where_it_runs(name, dtype):
    """`all` processors, `cpu` alone, or an empty string where the dtype is refused."""
    try:
        program = lwps.optimize(lwps.trace(call_of(name), ShapedArray((2, 2), dtype)))
    except TypeError:
        return ""
    working = [eqn for eqn in program.eqns if eqn.runs]
    device = Device("cpu")
    able = all(recipe(device, eqn.primitive, eqn.in_avals, eqn.params) is not None for eqn in working)
    return "all" if able else "cpu"


def table():
    head = ["name", *(d.name for d in DTYPES)]
    rows = [[f"`{name}`", *(where_it_runs(name, d.name) for d in DTYPES)] for name in functions()]
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in lines)


def rewritten():
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.partition(END)[2]


def test_the_table_is_what_the_ops_say():
    assert PAGE.read_text() == rewritten(), "docs/numpy.md must be made anew: python -m tests.test_numpy_page"


if __name__ == "__main__":
    PAGE.write_text(rewritten())
