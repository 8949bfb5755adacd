"""What the site has beyond the plain pages: docstrings behind the modules that docs/api.md has headings for, and a page
for each example.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

EXAMPLES = Path(__file__).parents[2] / "examples"
LANGUAGES = {".py": "python", ".cl": "c"}
HEADING = re.compile(r"## `(lwps[\w.]*)`$", re.MULTILINE)


def on_files(files, config):
    """All pages, with one for each example."""
    for path in sorted(p for p in EXAMPLES.iterdir() if p.suffix in LANGUAGES):
        text = f"# {path.name}\n\n```{LANGUAGES[path.suffix]}\n{path.read_text()}```\n"
        uri = f"examples/{path.name}.md"
        files.append(File.generated(config, uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown, page, config, files):
    """The page with links to the pages of examples, and in that of the API the public names of its modules."""
    markdown = re.sub(r"\]\(\.\./(examples/[\w.]+)\)", r"](\1.md)", markdown)
    if page.file.src_uri != "api.md":
        return markdown
    first, *sections = re.split(r"^(?=## )", markdown, flags=re.MULTILINE)
    return first + "".join(section + reference(HEADING.match(section)[1]) for section in sections)


def reference(module):
    """The docstring of every public name of a module; those that have none are listed."""
    loaded = pkgutil.resolve_name(module)
    described, others = [], []
    for name in sorted(public_names(loaded), key=str.lower):
        value = getattr(loaded, name)
        if inspect.ismodule(value):
            continue  # has a heading of its own
        path = defined_at(value)
        if path is None:
            others.append(f"`{name}`")
        else:
            described.append(f"### `{name}`\n\n```python\n{signature(f'{module}.{name}', value)}\n```\n\n::: {path}\n")
    rest = [f"Also here, as the names say: {', '.join(others)}.\n"] if others else []
    return "\n".join(["", *rest, *described, ""])


def public_names(module):
    """`__all__`, or what the module itself defines."""
    own = [
        n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "") == module.__name__
    ]
    return getattr(module, "__all__", own)


def defined_at(value):
    """Where in lwps a function or class with a docstring is written; None for what is made at import, or NumPy's."""
    if not (callable(value) and hasattr(value, "__qualname__") and value.__doc__):
        return None
    if not value.__module__.startswith("lwps"):
        return None
    written = getattr(importlib.import_module(value.__module__), value.__qualname__, None) is value
    return f"{value.__module__}.{value.__qualname__}" if written else None


def signature(name, value):
    """How a function or class is called, without annotations: docstrings say what each argument is."""
    try:
        called = inspect.signature(value)
    except ValueError:
        return name
    plain = [p.replace(annotation=p.empty) for p in called.parameters.values()]
    text = str(called.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    return f"{name}{text}"
