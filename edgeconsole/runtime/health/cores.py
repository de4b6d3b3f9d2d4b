"""How many cores this process may really use: affinity, and the cgroup's CPU quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

from edgeconsole.runtime.health.sensors.cgroup import cpu_limit_cores
from edgeconsole.runtime.health.sensors.files import FileReader, UnreadError
from edgeconsole.runtime.health.sensors.lane import PROCFS, SYSFS
from edgeconsole.runtime.health.sensors.round import Round


def available_cores(sysfs_root: Path = SYSFS, procfs_root: Path = PROCFS) -> int:
    """Return the whole cores the process may use, at least 1.

    Sources: sched_getaffinity(2); the quotas of the process's control group and those above it.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        quota, _ = FileReader().round(
            lambda files: cpu_limit_cores(Round(files, str(sysfs_root), str(procfs_root)))
        )
    except UnreadError:
        quota = None
    return max(1, min(cores, math.floor(quota + 0.5)) if quota else cores)
