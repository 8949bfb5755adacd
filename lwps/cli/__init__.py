"""The shell: one module a command, arguments in, tables out. No logic lives here."""

import sys

try:
    import rich  # noqa: F401
    import typer
except ModuleNotFoundError as error:
    raise SystemExit(f"lwps: the shell needs typer and rich, got {error}; pip install 'lwps[cli]'") from None

from lwps.cli import bench, devices, doctor, explain, export, plan, trace, train
from lwps.cli.terminal import err
from lwps.data import DataError
from lwps.plan import PlanError
from lwps.runtime.array import DonationError
from lwps.runtime.machine import MachineError

app = typer.Typer(
    help="Train on machines whose CPU and GPU share memory; every op runs on the processor that suits it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(devices.devices)
app.command()(train.train)
app.command()(export.export)
app.command()(bench.bench)
app.command()(plan.profile)
app.command()(plan.plan)
app.command()(explain.explain)
app.command()(trace.trace)
app.command()(doctor.doctor)


def main() -> None:
    """The `lwps` command; errors that a user can mend are one line, not a traceback."""
    try:
        app()
    except (MachineError, PlanError, DataError, DonationError, ModuleNotFoundError, ValueError, TypeError) as error:
        err.print(f"lwps: {error}", style="red", highlight=False, markup=False)
        sys.exit(1)
    except OSError as error:
        err.print(f"lwps: {error.filename}: {error.strerror}", style="red", highlight=False, markup=False)
        sys.exit(1)
