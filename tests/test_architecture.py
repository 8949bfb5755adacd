"""The shape of the house: imports point one way, as the table in docs/design.md says; names match."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

from lwps.core import Primitive

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lwps"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")
OPS = sorted(p.stem for p in (PACKAGE / "ops").glob("*.py") if p.stem != "__init__")
ROW = re.compile(r"^\|(?P<who>[^|]+)\|(?P<own>[^|]*)\|(?P<others>[^|]*)\|$", re.MULTILINE)

of_each_file = pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))


def table():
    """Part of the package -> (parts that it may import, packages of others that it may import)."""
    text = (ROOT / "docs" / "design.md").read_text()
    section = text.partition("<!-- imports -->")[2].partition("<!-- end of imports -->")[0]
    rows = {}
    for row in list(ROW.finditer(section))[2:]:  # the heading and the rule below it
        own, others = names(row["own"]), names(row["others"])
        rows.update((who, (own, others)) for who in names(row["who"]))
    return rows


def names(cell):
    return tuple(re.findall(r"`([\w.]+)`", cell))


TABLE = table()


def reexported():
    """Name in `lwps` -> module it comes from, for `from lwps import random`."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    found = [
        (node.module, alias.name) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    return {name: module if module != "lwps" else f"lwps.{name}" for module, name in found}


def is_module(dotted):
    path = ROOT / Path(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def imports(file):
    """(line, dotted name) of everything that a file imports; of a `from` import the module, or the submodule."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports must be absolute"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if node.module == "lwps" and not is_module(submodule):
                    yield node.lineno, origin(alias.name)
                else:
                    yield node.lineno, submodule if is_module(submodule) else node.module


def origin(name):
    """The module behind a public name of `lwps`."""
    module = reexported()[name]
    return f"{module}.{name}" if is_module(f"{module}.{name}") else module


def part_of(dotted):
    """The row of the table that a module of the package belongs to."""
    return dotted.removeprefix("lwps.").partition(".")[0]


def dotted_name(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def allowed(dotted, rows):
    name = dotted.removeprefix("lwps.")
    return any(name == row or name.startswith(f"{row}.") for row in rows)


@of_each_file
def test_imports_are_those_of_the_table(file):
    part = part_of(dotted_name(file))
    assert part in TABLE, f"{part} must have a row in the table of docs/design.md"
    own, others = TABLE[part]
    for line, name in imports(file):
        top = name.partition(".")[0]
        if top == "lwps":
            fine = part_of(name) == part or allowed(name, own)
        else:
            fine = top in sys.stdlib_module_names or top in others
        assert fine, (
            f"{file.relative_to(ROOT)}:{line}: {part} must import only {', '.join((*own, *others))}, got {name}"
        )


def test_the_table_points_one_way():
    seen = set()
    for part, (own, _) in TABLE.items():
        assert {name.partition(".")[0] for name in own} <= seen, f"{part} must import rows above it only, got {own}"
        seen.add(part)


def test_the_table_has_every_part_of_the_package_and_no_other():
    assert set(TABLE) == {part_of(dotted_name(file)) for file in FILES}


def test_only_the_runtime_and_what_tests_it_reach_a_device():
    assert {part for part, (_, others) in TABLE.items() if "pyopencl" in others} == {"runtime", "testing"}


def primitives(module):
    """Names that a module of ops binds to primitives."""
    tree = ast.parse((PACKAGE / "ops" / f"{module}.py").read_text())
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    return [t.id for t in targets if isinstance(t, ast.Name) and t.id.endswith("_p")]


@pytest.mark.parametrize("module", [m for m in OPS if primitives(m)])
def test_a_family_of_primitives_has_its_tests(module):
    assert (ROOT / "tests" / "ops" / f"test_{module}.py").exists()


@pytest.mark.parametrize("module", [m for m in OPS if primitives(m)])
def test_a_primitive_is_named_as_its_variable(module):
    loaded = importlib.import_module(f"lwps.ops.{module}")
    for name in primitives(module):
        primitive = getattr(loaded, name)
        assert isinstance(primitive, Primitive)
        assert f"{primitive.name}_p" == name


def test_kernels_lie_beside_the_module_of_their_name():
    assert {p.stem for p in (PACKAGE / "ops").glob("*.cl")} <= set(OPS)
