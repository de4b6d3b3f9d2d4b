"""The first moment of a job's process: give way to everything else, then become the program.

Started by `process.py` as `python -m`; arguments: the parent's pid, then what Python is to run.
What is set here stays set through `exec`, and holds for what the program starts.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Final

from edgeconsole.runtime.linux import be_ended_first, gain_no_privileges, signal_parent_death

NICE: Final = 10
"""Below the workers: serving goes first."""


def main(arguments: list[str]) -> int:
    """Become the program; returns only if there is nobody left to work for."""
    parent_pid, *program = arguments
    signal_parent_death(signal.SIGKILL)
    gain_no_privileges()
    be_ended_first()
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() == int(parent_pid):  # Else the agent ended before the death signal was set.
        os.execv(sys.executable, [sys.executable, *program])  # noqa: S606 - our own interpreter
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
