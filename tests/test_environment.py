import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lwps import environment

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lwps"


@pytest.mark.parametrize(("given", "found"), [({}, "4"), ({"OPENBLAS_THREAD_TIMEOUT": "26"}, "26")])
def test_idle_blas_threads_are_told_to_sleep_before_numpy_is_imported(given, found):
    code = (
        "import sys, os, importlib.util as u; s = u.find_spec('lwps'); from importlib import import_module as m;"
        "seen = [];"
        "f = type('F', (), {'find_spec': lambda self, name, *a:"
        " seen.append(os.environ.get('OPENBLAS_THREAD_TIMEOUT')) if name == 'numpy' else None})();"
        "sys.meta_path.insert(0, f); m('lwps'); print(seen[0])"
    )
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"} | given
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found


def test_the_page_has_every_variable_and_no_other():
    page = (ROOT / "docs" / "environment.md").read_text()
    own, others = (
        re.findall(r"^\| `(\w+)` \| (.+?) \|$", part, re.MULTILINE) for part in page.split("<!-- others -->")
    )
    assert own == [tuple(v) for v in environment.OWN]
    assert others == [tuple(v) for v in environment.OTHERS]


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_environment_is_read_in_one_place(file):
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)]
    read = [
        n for n in nodes if n.attr in ("environ", "getenv") and isinstance(n.value, ast.Name) and n.value.id == "os"
    ]
    assert not read or file == PACKAGE / "environment.py"
