"""The pages build as a site, without a warning, and the site describes every public name."""

import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "docs" / "site" / "mkdocs.yml"
MODULES = re.findall(r"^## `(lwps[\w.]*)`$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)


def test_every_page_is_in_the_navigation():
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    listed = re.findall(r"[\w-]+\.md", CONFIG.read_text().partition("\nnav:\n")[2])
    assert sorted(listed) == sorted(pages), "docs/site/mkdocs.yml must list every page of docs/ once"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="the site needs mkdocs; pip install 'lwps[docs]'")
    pytest.importorskip("mkdocstrings", reason="the site needs mkdocstrings; pip install 'lwps[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "-f", CONFIG, "-d", folder]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_describes_every_public_name(site):
    text = (site / "api.html").read_text()
    for module in MODULES:
        loaded = pkgutil.resolve_name(module)
        for name in getattr(loaded, "__all__", ()):
            if not inspect.ismodule(getattr(loaded, name)):  # those have headings of their own
                assert re.search(rf"\b{name}\b", text), f"docs/api.md must lead to {module}.{name}"


def test_every_page_has_its_own_in_the_site(site):
    pages = {p.with_suffix(".html").name for p in (ROOT / "docs").glob("*.md")}
    assert pages <= {p.name for p in site.glob("*.html")}
