"""The shell as its pages and its help say it is: every example parses, every JSON field has its row."""

import re
import shlex
from pathlib import Path

import attrs
import pytest
import typer

from lwps import cli
from lwps.doctor import Finding
from lwps.placement.explain import Crossing, EqnReport, EqnRow, LayerReport, Move, PhaseReport, Value
from lwps.report.bench import BenchRow, StepTime

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = (ROOT / "docs" / "shell.md").read_text()
COMMANDS = typer.main.get_command(cli.app).commands
FENCE = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def parse(line):
    """Refuse a line that the command would refuse, without running it."""
    words = shlex.split(line, comments=True)
    words = words[words.index("lwps") + 1 :]
    for k, word in enumerate(words):
        if word in ("&&", "|", ";", "2>&1"):
            words = words[:k]
            break
    assert words[0] in COMMANDS, line
    command = COMMANDS[words[0]]
    try:
        command.make_context(words[0], words[1:])
    except Exception as error:  # of click, which newer versions of typer bring with them under another name
        raise AssertionError(f"{line}: {error}") from error


def lines(text):
    """Lines of `sh` blocks that call lwps."""
    for block in FENCE.findall(text):
        yield from (line.strip() for line in block.splitlines() if re.search(r"(^|\s|&& )lwps \w", line))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_parses(name):
    example = re.search(r"^\s*Example: (lwps .+)$", COMMANDS[name].help or "", re.MULTILINE)
    assert example, f"{name}: its help must have a line `Example: lwps {name} ...`"
    assert example[1].split()[1] == name
    parse(example[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_on_the_pages_parse(page):
    for line in lines(page.read_text()):
        if "pip install" not in line:
            parse(line)


def test_a_wrong_option_is_seen():
    with pytest.raises(AssertionError, match="--batches"):
        parse("lwps plan resnet18 --batches 8 -o plan.json")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_section(name):
    assert f"\n## lwps {name}\n" in SHELL
    assert f"[`lwps {name}`](#lwps-{name})" in SHELL


@pytest.mark.parametrize(
    "kind", [Finding, BenchRow, StepTime, EqnReport, LayerReport, PhaseReport, EqnRow, Value, Crossing, Move]
)
def test_every_field_of_the_json_is_on_the_page(kind):
    for field in attrs.fields(kind):
        assert f"`{field.name}`" in SHELL, f"{kind.__name__}.{field.name}"
