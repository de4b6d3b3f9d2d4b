"""How many cores this process may really use: affinity, and the cgroup's CPU quota."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cores(cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the whole cores the process may use, at least 1.

    Sources: sched_getaffinity(2); cgroup v2 `cpu.max`, cgroup v1 `cpu.cfs_quota_us`.
    """
    cores = len(os.sched_getaffinity(0))
    quota = _quota_v2(cgroup_root) or _quota_v1(cgroup_root)
    return max(1, min(cores, math.floor(quota + 0.5)) if quota else cores)


def _quota_v2(root: Path) -> float | None:
    words = _read(root / "cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return _ratio(words[0], words[1])


def _quota_v1(root: Path) -> float | None:
    quota = _read(root / "cpu" / "cpu.cfs_quota_us")
    period = _read(root / "cpu" / "cpu.cfs_period_us")
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    try:
        microseconds, of = int(quota), int(period)
    except ValueError:
        return None
    return microseconds / of if microseconds > 0 and of > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
