"""Every public op against PyTorch, in value and gradient, on every processor.

    pip install torch  (a CPU build will do), then
    python tests/bench/ops_vs_torch.py [--write docs/ops.md] [NAME ...]

`against_torch/judge.py` says how errors are counted and how many are allowed. Exits with 1 where an op has more, or
where a public name of `lwps.numpy`, `lwps.nn` or `lwps.optim` has neither a twin nor a reason why not. NAME: parts of
names; only those are judged.
"""

import argparse
import functools
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from against_torch import array_twins, elementwise_twins, nn_twins, optim_twins, other_twins
from against_torch.judge import ELEMENTWISE, NUDGES, SUMS, Twin, Verdict, dtypes_of, judge

import lwps
import lwps.numpy

Twins = dict[str, Callable[[Any], list[Twin]]]

TOP = types.SimpleNamespace(__all__=list(other_twins.TOP), **{n: getattr(lwps, n) for n in other_twins.TOP})
AREAS: list[tuple[str, Any, Twins, dict[str, str]]] = [
    ("numpy", lwps.numpy, elementwise_twins.TWINS | array_twins.TWINS, array_twins.REASONS),
    ("lwps", TOP, other_twins.TOP, {}),
    ("image", lwps.image, other_twins.IMAGE, {}),
    ("nn", lwps.nn, nn_twins.TWINS, nn_twins.REASONS),
    ("optim", lwps.optim, optim_twins.TWINS, optim_twins.REASONS),
    ("optim.losses", lwps.optim.losses, optim_twins.LOSSES, {}),
]


def names_of(module: Any) -> list[str]:
    """The public names of a module: those it lists, or the functions that it defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [n for n, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__ and n[0] != "_"]


def wanted(parts: list[str]) -> Iterator[tuple[str, Callable[[], list[Twin]]]]:
    for area, module, twins, _ in AREAS:
        for name in names_of(module):
            full = f"{area}.{name}"
            if name in twins and (not parts or any(part in full for part in parts)):
                yield full, functools.partial(twins[name], getattr(module, name))


def missing() -> list[str]:
    return [
        f"{area}.{name}"
        for area, module, twins, reasons in AREAS
        for name in names_of(module)
        if name not in twins and name not in reasons
    ]


def number(x: float | None) -> str:
    return "" if x is None else "exact" if x == 0 else f"{x:.2g}"


def row(name: str, verdicts: dict[str, Verdict], dtypes: list[str]) -> str:
    processors = [p for p, v in verdicts.items() if v.on <= {p}]
    value, gradient, torch_value, torch_gradient = (
        max((x for v in verdicts.values() if (x := getattr(v, field)) is not None), default=None)
        for field in ("value", "gradient", "torch_value", "torch_gradient")
    )
    cells = (
        f"`{name}`", " ".join(processors), " ".join(dtypes), str(sum(v.cases for v in verdicts.values())),
        number(value), number(gradient),
        number(torch_value) if value is not None else "", number(torch_gradient) if gradient is not None else "",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


HEAD = """# Ops

Every public op, layer, loss and optimizer, compared with PyTorch {torch} in value and gradient, at random inputs,
on every processor. Made by

```sh
pip install torch
python tests/bench/ops_vs_torch.py --write docs/ops.md
```

which exits with 1 where an op is wrong, or where a public name is neither compared nor has a reason why not.

The truth is PyTorch in float64 at the same float32 inputs. Errors are counted in units, for each element by itself:
half an ulp of the result, plus what the result moves by when every input is moved by half an ulp (the largest move
of {nudges}). So an op that rounds at its beginning and its end has errors of about one unit, and a problem that is
sensitive to its inputs is not held against an op. To the unit of gradients, and of all but elementwise ops, half an
ulp of the array's mean size is added. Elementwise ops may err by {elementwise:.0f} units, others by {sums:.0f} (a
sum of n terms one after the other may need the root of n), or by twice what PyTorch's own float32 needs in the same
cases; its errors are in the last two columns. Integers and truth values must be equal.

Columns: the processors that run the whole op (`cpu` is NumPy on the host, `cl-cpu` an OpenCL CPU device; float64
runs on the host only); the dtypes of its first argument; how many cases were run on all processors; largest errors
of values and of gradients. `exact` means no error; an empty gradient, that there is none.

| op | processors | dtypes | cases | value | gradient | PyTorch's value | PyTorch's gradient |
|---|---|---|---|---|---|---|---|
"""


def page(rows: list[str]) -> str:
    head = HEAD.format(torch=torch.__version__, nudges=NUDGES, elementwise=ELEMENTWISE, sums=SUMS)
    reasons = [
        f"| `{area}.{n}` | {why} |"
        for area, module, _, known in AREAS
        for n, why in known.items()
        if hasattr(module, n)
    ]
    return head + "\n".join(rows) + "\n\nNot compared:\n\n| name | why |\n|---|---|\n" + "\n".join(reasons) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="judge only names that contain one of these")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table as a page")
    args = parser.parse_args()
    torch.set_num_threads(1)
    begin, rows, bad = time.perf_counter(), [], []
    for name, made in wanted(args.names):
        try:
            twins = made()
        except (AttributeError, TypeError, ValueError) as error:
            bad.append(f"{name}: {error}")
            continue
        verdicts = {p: judge(twins, p) for p in lwps.default_machine().names}
        rows.append(row(name, verdicts, dtypes_of(twins[0])))
        print(rows[-1], flush=True)
        for processor, verdict in verdicts.items():
            if not verdict.right:
                bad.append(f"{name} on {processor}: {verdict}")
                print(f"WRONG {bad[-1]}", flush=True)
    print(f"{len(rows)} names in {time.perf_counter() - begin:.0f} s, {len(bad)} wrong")
    bad += [f"{name} must have a twin or a reason" for name in missing()]
    print("\n".join(bad))
    if args.write:
        args.write.write_text(page(rows))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
