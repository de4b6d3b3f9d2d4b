"""The first moment of a job's process: give way to everything else, then become the program.

Started by `process.py` as `python -m`; arguments: the parent's pid, then what Python is to run.
What is set here stays set through `exec`, and holds for what the program starts.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from edgeconsole.runtime.linux import confine

NICE: Final = 10
"""Below the workers: serving goes first."""


def main(arguments: list[str]) -> int:
    """Become the program; raises `SystemExit` if there is nobody left to work for."""
    parent_pid, *program = arguments
    confine(int(parent_pid))
    os.nice(NICE)
    os.execv(sys.executable, [sys.executable, *program])  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
