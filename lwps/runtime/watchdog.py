"""Names a kernel that does not end. OpenCL has no wait with a limit, so a thread beside the waiting one looks.

State: `_running` are the executables with a step under way. For each the thread notes which enqueued instruction is the
first that has not ended, and since when; one that stays the first for `environment.hang_s()` seconds is named, once.
"""

import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pyopencl as cl

from lwps import environment

if TYPE_CHECKING:
    from lwps.runtime.interpreter import Executable

_PERIOD_S = 0.5

_watched: "weakref.WeakSet[Executable]" = weakref.WeakSet()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def watch(executable: "Executable") -> None:
    """Look after the steps of `executable` as long as it lives; `environment.hang_s()` of 0 turns that off."""
    global _thread
    if environment.hang_s() <= 0:
        return
    with _lock:
        _watched.add(executable)
        if _thread is None:
            _thread = threading.Thread(target=_look, name="lwps watchdog", daemon=True)
            _thread.start()


def _look() -> None:
    since: dict[tuple[int, float, int], float] = {}  # (executable, begin of its step, instruction) -> first seen
    named: set[tuple[int, float, int]] = set()
    while True:
        time.sleep(_PERIOD_S)
        with _lock:
            executables = list(_watched)
        stuck = [(e, key) for e in executables for key in [_first_pending(e)] if key is not None]
        now = time.monotonic()
        since = {key: since.get(key, now) for _, key in stuck}
        named &= set(since)
        for executable, key in stuck:
            if now - since[key] >= environment.hang_s() and key not in named:
                named.add(key)
                _name(executable, key[2], now - since[key])
        del executables, stuck


def _first_pending(executable: "Executable") -> tuple[int, float, int] | None:
    """The first instruction on a queue that has not ended, while a step is under way."""
    began = executable.began
    if began == 0.0:
        return None
    for at, event in enumerate(executable.events):
        if event is not None and _pending(event):
            return id(executable), began, at
    return None


def _pending(event: cl.Event) -> bool:
    try:
        return int(event.command_execution_status) > cl.command_execution_status.COMPLETE
    except cl.Error:
        return False


def _name(executable: "Executable", at: int, seconds: float) -> None:
    print(
        f"lwps: {executable.name_of(at)} has not ended for {seconds:.0f} s; a kernel of it may never end. Its process"
        f" can only be killed. Place it on another processor, or set {environment.HANG} if it needs longer.",
        file=sys.stderr,
        flush=True,
    )
