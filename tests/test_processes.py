"""What signals of the terminal do to processes that are started beside the first."""

import signal
from multiprocessing import resource_tracker

import pytest

from lenet5_cli import processes


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="there is no such tracker")
def test_the_tracker_of_processes_runs_before_ctrl_c_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start ends with letting Ctrl-C through. A terminal that is closed does not end it: it was started anew."""
    blocked: list[object] = []

    def look() -> None:
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    monkeypatch.setattr(resource_tracker, "ensure_running", look)
    with processes.ctrl_c_held_back():
        look()
    look()
    assert blocked == [{signal.SIGHUP}, {signal.SIGINT}, set()]
