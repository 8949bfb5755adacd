"""`lwps devices`."""

from rich.table import Table

from lwps.cli.terminal import Json, Memory, Processors, machine_of, out, write_json
from lwps.runtime.calibrate import calibrate


def devices(processors: Processors = None, memory: Memory = None, json: Json = None) -> None:
    """The processors of this machine, and what handing a value over costs here.

    Example: lwps devices --memory copy
    """
    machine = machine_of(processors, memory)
    host_s, handovers = calibrate(machine)
    table = Table("processor", "what it is", "start of an eqn", title=f"memory: {machine.memory}")
    for p in machine.processors:
        table.add_row(p.name, p.description, f"{host_s[p.name] * 1e6:.1f} us" if not p.is_host else "-")
    out.print(table)
    costs = Table("from", "to", "latency", "64 MB")
    for (source, target), h in handovers.items():
        costs.add_row(source, target, f"{h.latency_s * 1e6:.1f} us", f"{h.seconds(1 << 26) * 1e3:.2f} ms")
    if handovers:
        out.print(costs)
    rows = [
        {"source": s, "target": t, "latency_s": h.latency_s, "s_per_byte": h.s_per_byte}
        for (s, t), h in handovers.items()
    ]
    listed = [{"name": p.name, "description": p.description, "start_s": host_s[p.name]} for p in machine.processors]
    write_json(json, {"machine": machine.describe(), "memory": machine.memory, "processors": listed, "handovers": rows})
