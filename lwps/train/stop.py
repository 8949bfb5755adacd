"""Ctrl-C as a wish: training ends after the step that runs, so that it can be saved."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl-C (or SIGTERM) came; a second one raises KeyboardInterrupt.

    Signals can be caught in the main thread only; elsewhere the function never says so.
    """
    stopped = False

    def handle(number: int, frame: Any) -> None:
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True
        say(f"{signal.Signals(number).name}: training ends after this step; once more to stop at once")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
