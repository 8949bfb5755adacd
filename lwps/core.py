"""What a program is made of: avals, vars, eqns, and primitives with all their rules."""

from __future__ import annotations

import contextvars
import functools
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

DTYPES = tuple(map(np.dtype, ("bool", "uint8", "int32", "uint32", "float32", "float64")))
PHASES = ("forward", "backward", "update")


def _shape(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(n) for n in shape)


def _check_shape(aval: ShapedArray, attribute: Any, shape: tuple[int, ...]) -> None:
    if any(n < 0 for n in shape):
        raise ValueError(f"ShapedArray: every axis must have at least 0 elements, got {shape}")


def _check_dtype(aval: ShapedArray, attribute: Any, dtype: np.dtype) -> None:
    if dtype not in DTYPES:
        names = ", ".join(str(d) for d in DTYPES)
        raise TypeError(f"ShapedArray: dtype must be one of {names}, got {dtype}")


@attrs.frozen(cache_hash=True, repr=False)
class ShapedArray:
    """What is known of an array before it exists: its shape and its dtype."""

    shape: tuple[int, ...] = attrs.field(converter=_shape, validator=_check_shape)
    dtype: np.dtype = attrs.field(converter=np.dtype, validator=_check_dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


_interned: dict[tuple[tuple[int, ...], np.dtype], ShapedArray] = {}


def aval_of(x: Any) -> ShapedArray:
    """The aval of an array, a tracer or a NumPy scalar; equal avals are one object."""
    aval = getattr(x, "aval", None)
    if aval is not None:
        return aval
    if not isinstance(x, np.ndarray):
        x = np.asarray(x)
    return interned(x.shape, x.dtype)


def interned(shape: tuple[int, ...], dtype: np.dtype) -> ShapedArray:
    """The one aval object of this shape and dtype: signatures compare by identity before they compare by value."""
    found = _interned.get((shape, dtype))
    if found is None:
        found = _interned[shape, dtype] = ShapedArray(shape, dtype)
    return found


@attrs.frozen(eq=False, repr=False)
class Var:
    """One value of a program: written once, read any number of times."""

    aval: ShapedArray

    def __repr__(self) -> str:
        return f"Var({self.aval})"


@attrs.frozen
class Cost:
    """Arithmetic and memory traffic of one eqn: counts, not rates."""

    flops: int
    nbytes: int


@attrs.frozen
class Alias:
    """Result `out` is a view of input `inp`, or (kind `overwrite`) may take over its bytes."""

    out: int
    inp: int
    kind: str = attrs.field(validator=attrs.validators.in_(("view", "overwrite")))


@attrs.frozen
class Split:
    """One way to cut an eqn into independent parts.

    Cutting input `i` along axis `ins[i]` (None: every part reads the whole of it) gives the parts of
    result `j` along axis `outs[j]`, with the same params.
    """

    ins: tuple[int | None, ...]
    outs: tuple[int, ...]


@attrs.frozen(eq=False)
class Operand:
    """An argument of a kernel, named by its place: result, input or scratch of the eqn."""

    kind: str  # "out", "in" or "scratch"
    index: int
    aval: ShapedArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def ndim(self) -> int:
        return self.aval.ndim

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype


@attrs.frozen
class Device:
    """What rules may know of an OpenCL device: its type and its limits (bytes, counts)."""

    type: str = "cpu"  # "cpu" or "gpu"
    compute_units: int = 1
    max_work_group_size: int = 1024
    local_mem_size: int = 32768


@attrs.frozen
class Launch:
    """One kernel launch: `args` are operands and NumPy scalars, in the kernel's order."""

    kernel: str
    global_size: tuple[int, ...]
    local_size: tuple[int, ...] | None
    args: tuple[Any, ...]
    options: str = ""  # -D settings of the build


def no_scratch(*ins: Any, **params: Any) -> tuple[ShapedArray, ...]:
    """The scratch rule of what needs none."""
    return ()


@attrs.frozen(eq=False)
class Variant:
    """One way to run an eqn on an OpenCL device.

    `applies(device, *avals, **params)` says whether it can; `launch(device, outs, ins, scratch,
    **params)` gives its launches in order (each sees what the ones before it wrote);
    `scratch(*avals, **params)` the avals of what it needs beside outs and ins.
    `file` is a `.cl` beside the modules of `package`, or an absolute path.
    """

    file: str
    launch: Callable[..., tuple[Launch, ...]]
    applies: Callable[..., bool] = attrs.field(default=lambda device, *ins, **params: True)
    scratch: Callable[..., tuple[ShapedArray, ...]] = no_scratch
    package: str = "lwps.ops"


@attrs.frozen(eq=False)
class Expr:
    """The OpenCL C expression of one element of an elementwise result.

    `{0}`, `{1}` stand for the inputs' elements and `{name}` for params; a function of (avals, params)
    where the text depends on them. The generator (`lwps.ops.generate`) makes kernels of them. The text may
    call functions of `file`, a `.cl` beside the modules of `package`.
    """

    text: str | Callable[..., str]
    file: str = ""
    package: str = "lwps.ops"

    def render(self, avals: Sequence[ShapedArray], params: Mapping[str, Any]) -> str:
        return self.text(*avals, **params) if callable(self.text) else self.text


@attrs.frozen(eq=False)
class Host:
    """A NumPy rule and the scratch it asks for: `run(*outs, *ins, *scratch, **params)`."""

    run: Callable[..., None]
    scratch: Callable[..., tuple[ShapedArray, ...]] = no_scratch


def _host(rule: Any) -> Host:
    return rule if isinstance(rule, Host) else Host(rule)


@attrs.frozen(eq=False, repr=False)
class Primitive:
    """A unit of work with all its rules; `None` is written out where a rule is meant to be absent.

    - `aval(*avals, **params)` -> tuple of result avals; refuses by name
    - `vjp(cts, ins, outs, needed, **params)` -> a cotangent for each input, None for a zero one; `cts`
      may hold None too (no cotangent reached that result); None as rule: not differentiable
    - `cost(*avals, **params)` -> Cost
    - `numpy`: a `Host`, or just its `run(*outs, *ins, **params)`, which writes into `outs`
    - `opencl`: a tuple of `Variant`s to choose from, or an `Expr`; `()` where only the host can
    - `alias(*avals, **params)` -> tuple of `Alias`
    - `split(*avals, **params)` -> tuple of `Split`, one for each way to cut
    """

    name: str
    aval: Callable[..., tuple[ShapedArray, ...]] = attrs.field(kw_only=True)
    vjp: Callable[..., Sequence[Any]] | None = attrs.field(kw_only=True)
    cost: Callable[..., Cost] = attrs.field(kw_only=True)
    numpy: Host = attrs.field(kw_only=True, converter=_host)
    opencl: tuple[Variant, ...] | Expr = attrs.field(kw_only=True)
    alias: Callable[..., tuple[Alias, ...]] | None = attrs.field(kw_only=True)
    split: Callable[..., tuple[Split, ...]] | None = attrs.field(kw_only=True)

    def bind(self, *ins: Any, **params: Any) -> tuple[Any, ...]:
        """Apply to arrays (at once) or to tracers (recorded); the results as a tuple."""
        return interpreter.get()(self, ins, params)

    @property
    def elementwise(self) -> bool:
        return isinstance(self.opencl, Expr)

    def __repr__(self) -> str:
        return f"{self.name}_p"


def evaluate(primitive: Primitive, ins: Sequence[Any], params: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
    """Run the NumPy rule at once, on new arrays."""
    arrays = [narrow(x, primitive.name) for x in ins]
    avals = [aval_of(x) for x in arrays]
    outs = tuple(np.empty(a.shape, a.dtype) for a in primitive.aval(*avals, **params))
    scratch = [np.empty(a.shape, a.dtype) for a in primitive.numpy.scratch(*avals, **params)]
    primitive.numpy.run(*outs, *arrays, *scratch, **params)
    return outs


def evaluate_program(program: Program, args: Sequence[Any]) -> list[np.ndarray]:
    """Run eqn by eqn in order through the NumPy rules, on new arrays: what every placement must equal."""
    env: dict[Var, Any] = dict(zip(program.inputs, args, strict=True))
    env.update(program.consts)
    for eqn in program.eqns:
        env.update(zip(eqn.outs, evaluate(eqn.primitive, [env[v] for v in eqn.ins], eqn.params), strict=True))
    return [np.asarray(env[v]) for v in program.outputs]


def narrow(x: Any, op: str, *, floats: bool = False) -> np.ndarray:
    """`x` as an array of a dtype that programs know; 64-bit integers become 32-bit or are refused.

    With `floats`, float64 becomes float32 too (what a jitted step does, as in JAX).
    """
    x = np.asarray(x)
    if x.dtype in DTYPES and not (floats and x.dtype == np.float64):
        return x
    if x.dtype.kind in "iu":
        return _checked(x, np.dtype(np.uint32 if x.dtype == np.uint64 else np.int32), op)
    if x.dtype.kind == "f":
        return _checked(x, np.dtype(np.float32), op)
    raise TypeError(
        f"{op}: arrays must be bool, integers or floats, got {x.dtype}{list(x.shape)}; convert it with astype"
    )


def _checked(x: np.ndarray, dtype: np.dtype, op: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        y = x.astype(dtype)
    fits = np.array_equal(x, y) if dtype.kind in "iu" else np.array_equal(np.isinf(x), np.isinf(y))
    if not fits:
        raise TypeError(
            f"{op}: values must fit {dtype}, got {x.dtype} values from {x.min()} to {x.max()}; use {dtype} data"
        )
    return y


Interpreter = Callable[[Primitive, Sequence[Any], Mapping[str, Any]], tuple[Any, ...]]
interpreter: contextvars.ContextVar[Interpreter] = contextvars.ContextVar("interpreter", default=evaluate)


@attrs.frozen(eq=False, repr=False)
class Eqn:
    """One line of a program."""

    primitive: Primitive
    ins: tuple[Var, ...]
    outs: tuple[Var, ...]
    params: Mapping[str, Any]
    layer: str = ""
    phase: str = "forward"
    source: str = ""  # "file:line in function" of the user's code

    @property
    def in_avals(self) -> tuple[ShapedArray, ...]:
        return tuple(v.aval for v in self.ins)

    @property
    def views(self) -> dict[int, int]:
        """Result index -> input index, for results that are views and so cost nothing."""
        if self.primitive.alias is None:
            return {}
        rows = self.primitive.alias(*self.in_avals, **self.params)
        return {row.out: row.inp for row in rows if row.kind == "view"}

    @property
    def runs(self) -> bool:
        """Whether there is work to do: an eqn all of whose results are views has none."""
        return len(self.views) < len(self.outs)

    def __repr__(self) -> str:
        ins = ", ".join(map(str, self.in_avals))
        return f"{self.primitive.name}({ins}) in {self.layer or 'the top layer'}, {self.phase}"


@attrs.frozen(eq=False, repr=False)
class Program:
    """The op list: inputs, constants, eqns in an order that runs, outputs.

    `donated` are the positions of inputs whose memory the results may take. `in_tree` and `out_tree`
    are the pytrees of the function it was traced from, None for a flat program.
    """

    inputs: tuple[Var, ...]
    eqns: tuple[Eqn, ...]
    outputs: tuple[Var, ...]
    consts: tuple[tuple[Var, np.ndarray], ...] = ()
    donated: frozenset[int] = frozenset()
    in_tree: Any = None
    out_tree: Any = None

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each eqn: `layer/phase/primitive#k`, stable in files."""
        count: Counter[str] = Counter()
        names = []
        for eqn in self.eqns:
            stem = "/".join(filter(None, (eqn.layer, eqn.phase, eqn.primitive.name)))
            names.append(f"{stem}#{count[stem]}")
            count[stem] += 1
        return tuple(names)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of everything the program computes, equal for equal programs."""
        digest = hashlib.sha256(format_program(self, scopes=True, bodies=True).encode())
        for _, value in self.consts:
            digest.update(np.ascontiguousarray(value).tobytes())
        digest.update(repr(sorted(self.donated)).encode())
        return digest.hexdigest()[:16]

    def __str__(self) -> str:
        return format_program(self, scopes=True)


def format_program(program: Program, *, scopes: bool = False, bodies: bool = False) -> str:
    """One eqn a line, with avals; with `scopes` its layer and phase, with `bodies` the whole of inner programs."""
    name = Namer()
    lines = ["in  " + " ".join(f"{name(v)}:{v.aval}" for v in program.inputs)]
    for var, value in program.consts:
        text = f" = {value}" if value.ndim == 0 else ""
        lines.append(f"const {name(var)}:{var.aval}{text}")
    rows = [(_format_eqn(eqn, name, bodies), "/".join(filter(None, (eqn.layer, eqn.phase)))) for eqn in program.eqns]
    width = min(88, max((len(row) for row, _ in rows), default=0))
    lines += [f"    {row:{width}}  # {where}" if scopes else f"    {row}" for row, where in rows]
    lines.append("out " + " ".join(name(v) for v in program.outputs))
    return "\n".join(lines)


class Namer:
    """Letters for vars in order of appearance: a, b, ..., z, aa, ab, ..."""

    def __init__(self) -> None:
        self._names: dict[Var, str] = {}

    def __call__(self, var: Var) -> str:
        if var not in self._names:
            self._names[var] = _letters(len(self._names))
        return self._names[var]


def _letters(k: int) -> str:
    text = chr(97 + k % 26)
    return text if k < 26 else _letters(k // 26 - 1) + text


def _format_eqn(eqn: Eqn, name: Namer, bodies: bool) -> str:
    ins = [name(v) for v in eqn.ins]
    outs = " ".join(f"{name(v)}:{v.aval}" for v in eqn.outs)
    params = " ".join(f"{k}={format_param(v) if bodies else _brief(v)}" for k, v in sorted(eqn.params.items()))
    return " ".join(filter(None, (outs, "=", eqn.primitive.name, *ins, f"[{params}]" if params else "")))


def _brief(value: Any) -> str:
    """A param for people: of an inner program only what its eqns do."""
    if isinstance(value, Program):
        return "{" + " ".join(eqn.primitive.name for eqn in value.eqns) + "}"
    return format_param(value)


def format_param(value: Any) -> str:
    """A param as text, the same for equal values (it is part of keys and fingerprints)."""
    if isinstance(value, Program):
        inner = format_program(value, bodies=True).split("\n")
        return "{" + "; ".join(line.strip() for line in inner) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join(map(format_param, value)) + ")"
    return value.__name__ if callable(value) and hasattr(value, "__name__") else str(value)


def check_program(program: Program) -> None:
    """Raise ValueError unless every value is written once, before it is read, with the aval its rule gives."""
    known = set(program.inputs) | {v for v, _ in program.consts}
    if len(known) != len(program.inputs) + len(program.consts):
        raise ValueError("check_program: inputs and constants must be distinct vars, got one twice")
    for name, eqn in zip(program.names, program.eqns, strict=True):
        for var in eqn.ins:
            if var not in known:
                raise ValueError(f"check_program: {name} must read values written before it, got {var}")
        avals = tuple(v.aval for v in eqn.outs)
        expected = tuple(eqn.primitive.aval(*eqn.in_avals, **eqn.params))
        if avals != expected:
            raise ValueError(f"check_program: {name} must have results {expected}, got {avals}")
        if eqn.phase not in PHASES:
            raise ValueError(f"check_program: {name}: phase must be one of {PHASES}, got {eqn.phase!r}")
        for var in eqn.outs:
            if var in known:
                raise ValueError(f"check_program: {name} must write new values, got {var} twice")
            known.add(var)
    for var in program.outputs:
        if var not in known:
            raise ValueError(f"check_program: outputs must be written by the program, got {var}")
    if not program.donated <= set(range(len(program.inputs))):
        raise ValueError(f"check_program: donated must be input positions, got {sorted(program.donated)}")


def donation_pairs(program: Program) -> dict[int, int]:
    """Output position -> donated input position that it replaces; each input once.

    An output that is a donated input itself replaces that one, others the first of their aval.
    """
    at = {program.inputs[i]: i for i in sorted(program.donated)}
    pairs: dict[int, int] = {}
    for o, var in enumerate(program.outputs):
        if var in at and at[var] not in pairs.values():
            pairs[o] = at[var]
    free: dict[ShapedArray, list[int]] = {}
    for i in sorted(program.donated - set(pairs.values())):
        free.setdefault(program.inputs[i].aval, []).append(i)
    for o, var in enumerate(program.outputs):
        if o not in pairs and free.get(var.aval):
            pairs[o] = free[var.aval].pop(0)
    return pairs


def storage_roots(program: Program) -> dict[Var, Var]:
    """For every var the var whose bytes it shares: itself, or what it is a view of."""
    roots = {v: v for v in (*program.inputs, *(c for c, _ in program.consts))}
    for eqn in program.eqns:
        views = eqn.views
        for k, var in enumerate(eqn.outs):
            roots[var] = roots[eqn.ins[views[k]]] if k in views else var
    return roots
