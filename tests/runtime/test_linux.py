"""What the system lets a process do about its own nice value."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_ASK = """
import os, sys
from edgeconsole.runtime.linux import may_come_back
os.setresuid(65534, 65534, 65534)
before = os.getpriority(os.PRIO_PROCESS, 0)
print(may_come_back(), os.getpriority(os.PRIO_PROCESS, 0) == before)
"""


def test_who_may_not_come_back_from_a_higher_nice_value_is_told() -> None:
    """Without rights a raised nice value is for ever: to find that out costs the process nothing."""
    if os.geteuid() != 0:
        pytest.skip("only root can give its rights up")
    done = subprocess.run(
        [sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.split() == ["False", "True"], done.stderr
