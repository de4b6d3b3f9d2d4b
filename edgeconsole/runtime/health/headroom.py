"""How much memory can still be taken: what the system has, and what the control group allows."""

from __future__ import annotations

from pathlib import Path

import psutil

from edgeconsole.runtime.health.sensors.files import FileReader, UnreadError
from edgeconsole.runtime.health.sensors.lane import PROCFS, SYSFS
from edgeconsole.runtime.health.sensors.memory import headroom_bytes
from edgeconsole.runtime.health.sensors.round import Round


def available_memory_bytes(sysfs_root: Path = SYSFS, procfs_root: Path = PROCFS) -> int:
    """Return the bytes that can be taken without swapping and without meeting a limit."""
    try:
        found = FileReader().round(
            lambda files: headroom_bytes(Round(files, str(sysfs_root), str(procfs_root)))
        )
    except UnreadError:
        found = None
    return psutil.virtual_memory().available if found is None else found
