"""Ctrl-C as a wish."""

import os
import signal
import threading

import pytest

from lwps.train import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish_the_second_an_interrupt(number):
    said = []
    before = signal.getsignal(number)

    def twice():
        os.kill(os.getpid(), number)
        assert stopped()
        os.kill(os.getpid(), number)

    with stop_on_signals(said.append) as stopped:
        assert not stopped()
        with pytest.raises(KeyboardInterrupt):
            twice()
    assert said == [f"{number.name}: training ends after this step; once more to stop at once"]
    assert signal.getsignal(number) is before


def test_other_threads_are_never_stopped():
    found = []

    def elsewhere():
        with stop_on_signals(found.append) as stopped:
            found.append(stopped())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [False]
