"""The few Linux calls Python has no name for. Sources: prctl(2), mallopt(3), proc(5), sched(7)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import threading
from pathlib import Path
from typing import Final

_OOM_SCORE: Final = "500"
"""Half of all memory is added to what it uses."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def signal_parent_death(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def gain_no_privileges() -> None:
    """Give up gaining rights through set-uid programs, for this process and its children."""
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def be_ended_first() -> None:
    """When memory runs out, have the kernel end this process before ones that say nothing; proc(5)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


def confine(parent_pid: int) -> None:
    """Make a child process end with its parent, gain no rights, leave no core file, and go first.

    Raises `SystemExit` if the parent is gone already.
    """
    signal_parent_death(signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise SystemExit(0)  # It ended before the death signal was set.
    gain_no_privileges()
    be_ended_first()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def keep_freed_memory() -> None:
    """Have glibc keep freed buffers instead of returning and faulting them in for each message.

    600 KiB round trips took a third of the time with it. Other C libraries have no `mallopt`.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 64 << 20)):
            mallopt(option, value)


def set_nice(nice: int) -> None:
    """Set the nice value of every thread of this process; raises `PermissionError` below the present one.

    To Linux the nice value is a thread's, and an engine may have started some.
    """
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)


def may_come_back() -> bool:
    """Say whether this process may lower a nice value that it raised (root, or `LimitNICE=`)."""
    answer: list[bool] = []

    def try_it() -> None:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, nice + 1)
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        except OSError:
            answer.append(False)
        else:
            answer.append(os.getpriority(os.PRIO_PROCESS, 0) == nice)

    # Nobody misses a thread that stays one step nicer.
    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    return answer == [True]
