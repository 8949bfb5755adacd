"""The pages of the project: every block of Python and every `$` line of a console runs and prints what is shown, every
link leads somewhere.

python -m tests.test_docs    writes the outputs shown anew, where they differ
"""

import contextlib
import doctest
import io
import os
import pkgutil
import re
import shlex
import sys
import tempfile
from pathlib import Path

import attrs
import pytest

import lwps

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(\$ lwps .*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)  # of a console, and what it prints
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"(?://|#) file: (\S+)\n")  # first line of a block that a reader would save under this name
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PROCESSORS = ("cpu", "cl-cpu")  # of the machine whose outputs are shown; others print other names and bytes
# a `...` on a page stands for anything; blanks depend on the longest name of a column
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

on_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)


@attrs.frozen
class Block:
    """Python or a command of a page, its line, and the output shown right behind it with its place in the text."""

    line: int
    code: str
    shown: str | None
    span: tuple[int, int]


def blocks(text):
    """What runs: Python that is no file, and each command of a console."""
    found = list(FENCE.finditer(text))
    for block, after in zip(found, [*found, None][1:], strict=True):
        if block[1] == "console":
            for command in COMMAND.finditer(text, block.start(2), block.end(2)):
                line = text.count("\n", 0, command.start()) + 1
                yield Block(line, command[1], command[2] or None, command.span(2))
        if block[1] != "python" or FILE.match(block[2]):
            continue
        shown = after is not None and after[1] == "text" and not text[block.end() : after.start()].strip()
        line = text.count("\n", 0, block.start()) + 1
        yield Block(line, block[2], after[2] if shown else None, after.span(2) if shown else (0, 0))


def save_files(text, folder):
    """The blocks that are files, as files."""
    for block in FENCE.finditer(text):
        named = FILE.match(block[2])
        if named:
            (folder / named[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / named[1]).write_text(block[2])


def run(block, namespace, name="page"):
    """What a block prints; tracebacks show the line of the page."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if block.code.startswith("$ "):
            command(block)
        else:
            exec(compile("\n" * block.line + block.code, name, "exec"), namespace)
    return printed.getvalue()


def command(block):
    """Run `$ lwps ...` in this process."""
    from lwps import cli  # here, so that pages without a console need no package of the shell

    before, sys.argv = sys.argv, shlex.split(block.code.removeprefix("$ "))
    status = None
    try:
        cli.main()
    except SystemExit as exit_:
        status = exit_.code
    finally:
        sys.argv = before
    assert not status, f"line {block.line}: {block.code} must succeed, got exit status {status}"


def differs(shown, printed):
    return shown is not None and not doctest.OutputChecker().check_output(shown, printed, SAME)


@on_each_page
@pytest.mark.filterwarnings("ignore:lwps. no OpenCL device")
def test_every_block_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch):
    for package in re.findall(r"^import (onnx\w*)$", page.read_text(), re.MULTILINE):
        pytest.importorskip(package, reason=f"the page needs {package}, which has no wheel for this platform")
    monkeypatch.chdir(tmp_path)  # for the files that blocks write
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LWPS_CACHE_DIR", str(tmp_path / "cache"))
    text = page.read_text()
    save_files(text, tmp_path)
    comparable = lwps.default_machine().names == PROCESSORS
    namespace = {"__name__": "page"}
    for block in blocks(text):
        printed = run(block, namespace, page.name)
        wrong = f"{page.name}, line {block.line}: must print\n{block.shown}\ngot\n{printed}"
        assert not (comparable and differs(block.shown, printed)), wrong


def test_the_first_page_lists_every_command():
    from lwps.cli import app

    text = (ROOT / "docs" / "index.md").read_text()
    for name in (c.name or c.callback.__name__ for c in app.registered_commands):
        assert f"| `lwps {name}" in text, f"docs/index.md must say what lwps {name} does"


def anchor(heading):
    """The name under which a heading can be linked to, as Markdown viewers make it."""
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


@on_each_page
def test_every_name_of_lwps_in_the_text_is_there(page):
    for name in re.findall(r"`(lwps(?:\.\w+)+)", FENCE.sub("", page.read_text())):
        pkgutil.resolve_name(name)  # or AttributeError, ImportError


def test_a_wrong_output_is_seen():
    (block,) = blocks("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    assert differs(block.shown, run(block, {}))
    assert not differs("2\n", run(block, {}))


def rewritten(text, name):
    """The page with the outputs that its blocks print now; those that hold a `...` and fit stay."""
    namespace = {"__name__": "page"}
    parts, end = [], 0
    for block in blocks(text):
        printed = run(block, namespace, name)
        if differs(block.shown, printed):
            parts += [text[end : block.span[0]], printed]
            end = block.span[1]
    return "".join([*parts, text[end:]])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["LWPS_CACHE_DIR"] = folder
        sys.path.insert(0, folder)
        for path in PAGES:
            save_files(path.read_text(), Path(folder))
            path.write_text(rewritten(path.read_text(), path.name))
