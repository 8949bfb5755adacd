"""The pages of the project: every block of Python runs and prints what is shown, every link leads somewhere."""

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

import lwps

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"(?://|#) file: (\S+)\n")  # first line of a block that a reader would save under this name
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# lengths of runs of blanks depend on the longest name of a column
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

on_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)


def blocks(page):
    """(line, code, output shown right behind it or None) of each block that runs: Python that is no file."""
    text = page.read_text()
    found = list(FENCE.finditer(text))
    for k, block in enumerate(found):
        if block[1] != "python" or FILE.match(block[2]):
            continue
        after = found[k + 1] if k + 1 < len(found) else None
        shown = after is not None and after[1] == "text" and not text[block.end() : after.start()].strip()
        yield text.count("\n", 0, block.start()) + 1, block[2], after[2] if shown else None


def save_files(page, folder):
    """The blocks of a page that are files, as files."""
    for block in FENCE.finditer(page.read_text()):
        named = FILE.match(block[2])
        if named:
            (folder / named[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / named[1]).write_text(block[2])


def run(code, namespace, page, line):
    """What a block prints; tracebacks show the line of the page."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * line + code, str(page), "exec"), namespace)
    return printed.getvalue()


def processors():
    """Those of this machine; the outputs shown are of one with a CPU and an OpenCL CPU device."""
    return lwps.default_machine().names


@on_each_page
@pytest.mark.filterwarnings("ignore:lwps. no OpenCL device")
def test_every_block_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the files that blocks write
    monkeypatch.syspath_prepend(tmp_path)
    save_files(page, tmp_path)
    monkeypatch.setenv("LWPS_CACHE_DIR", str(tmp_path / "cache"))
    comparable = processors() == ("cpu", "cl-cpu")
    namespace = {"__name__": "page"}
    for line, code, shown in blocks(page):
        printed = run(code, namespace, page, line)
        if shown is not None and comparable:
            same = doctest.OutputChecker().check_output(shown, printed, SAME)
            assert same, f"{page.name}, line {line}: must print\n{shown}\ngot\n{printed}"


def anchor(heading):
    """The name under which a page's heading can be linked to, as Markdown viewers make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@on_each_page
def test_every_link_within_the_project_leads_somewhere(page):
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, name = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: links must lead to files of the project, got {target}"
        if name:
            names = map(anchor, HEADING.findall(FENCE.sub("", linked.read_text())))
            assert name in names, f"{page.name}: links must lead to headings, got {target}"


def test_a_wrong_output_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    ((line, code, shown),) = blocks(page)
    assert (run(code, {}, page, line), shown) == ("2\n", "3\n")
