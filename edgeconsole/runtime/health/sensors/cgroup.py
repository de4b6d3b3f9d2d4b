"""What the process's control group allows: memory, processors, tasks. Versions 1 and 2.

A limit of a parent binds its children, so the smallest of self and ancestors counts. Sources: the
kernel's cgroup-v2.rst; cgroup-v1/memory.rst (`9223372036854771712`, or what the page size makes of
2^63, is no limit); sched-bwc.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.pressure import read_pressure_file
from edgeconsole.runtime.health.sensors.round import Round, whole_number

_MOUNT: Final = "fs/cgroup"
_NO_LIMIT_FROM: Final = 1 << 60
_MOST_LEVELS: Final = 32


@dataclass(frozen=True, slots=True)
class Group:
    """The folders of one controller, from the process's own up to the root; none: it is not there."""

    folders: tuple[str, ...]
    version: int


def find_group(round_: Round, controller: str) -> Group:
    """Return where a controller's files are for this process."""
    paths = _paths(round_)
    root = round_.sys(_MOUNT)
    for mount in (controller, f"{controller},cpuacct", f"cpuacct,{controller}"):
        if controller in paths and round_.files.is_folder(f"{root}/{mount}"):
            return Group(_levels(round_, f"{root}/{mount}", paths[controller]), 1)
    if round_.files.is_folder(f"{root}/{controller}") and "" not in paths:
        return Group((f"{root}/{controller}",), 1)  # A tree without procfs.
    for mount in (root, f"{root}/unified"):
        if round_.files.is_folder(mount):
            levels = _levels(round_, mount, paths.get("", "/"))
            probe = {"memory": "memory.max", "cpu": "cpu.max", "pids": "pids.max"}[controller]
            if any(round_.files.is_file(f"{level}/{probe}") for level in levels):
                return Group(levels, 2)
    return Group((), 2)


def _paths(round_: Round) -> dict[str, str]:
    """Return the process's path by controller; version 2's has no name. Source: cgroups(7)."""
    try:
        lines = round_.lines(round_.proc("self/cgroup"))
    except UnreadError:
        return {}
    found: dict[str, str] = {}
    for line in lines[:64]:
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                found.setdefault(controller, parts[2])
    return found


def _levels(round_: Round, mount: str, path: str) -> tuple[str, ...]:
    """Return the folders from a path up to the mount; in a container often only the mount is there."""
    names = [name for name in path.split("/") if name not in ("", ".")][:_MOST_LEVELS]
    if ".." in names:
        names = []
    levels = ["/".join((mount, *names[:depth])) for depth in range(len(names), 0, -1)]
    return (*(level for level in levels if round_.files.is_folder(level)), mount)


def _limits(round_: Round, group: Group, v2: str, v1: str) -> Iterator[tuple[int, str]]:
    """Yield the limits that are set, and the folders they are in."""
    for folder in group.folders:
        limit = round_.maybe(f"{folder}/{v2 if group.version == 2 else v1}")
        if limit is not None and 0 <= limit < _NO_LIMIT_FROM:
            yield limit, folder


def _statistics(round_: Round, path: str) -> dict[str, int]:
    """Return a flat-keyed file's numbers."""
    try:
        lines = round_.lines(path)
    except UnreadError:
        return {}
    found: dict[str, int] = {}
    for line in lines[:256]:
        key, _, text = line.partition(" ")
        try:
            found[key] = whole_number(text.strip())
        except UnreadError:
            continue
    return found


def memory_limit_bytes(round_: Round) -> tuple[int | None, str]:
    """Return the smallest memory limit, and where it is from; `None`: there is none."""
    group = find_group(round_, "memory")
    found = list(_limits(round_, group, "memory.max", "memory.limit_in_bytes"))
    if group.version == 1 and group.folders:
        # A parent's limit that a container cannot see as a folder.
        path = f"{group.folders[0]}/memory.stat"
        limit = _statistics(round_, path).get("hierarchical_memory_limit", _NO_LIMIT_FROM)
        if 0 <= limit < _NO_LIMIT_FROM:
            found.append((limit, group.folders[0]))
    if not found:
        return None, group.folders[0] if group.folders else ""
    return min(found)


def memory_headroom_bytes(round_: Round) -> int | None:
    """Return what may still be used before a limit is met; `None` without a limit.

    Cache that can be dropped (`inactive_file`) does not count as used, as in Kubernetes' working set.
    """
    group = find_group(round_, "memory")
    current = "memory.current" if group.version == 2 else "memory.usage_in_bytes"
    found = []
    for limit, folder in _limits(round_, group, "memory.max", "memory.limit_in_bytes"):
        used = round_.maybe(f"{folder}/{current}")
        if used is not None:
            statistics = _statistics(round_, f"{folder}/memory.stat")
            key = "inactive_file" if group.version == 2 else "total_inactive_file"
            found.append(max(0, limit - max(0, used - statistics.get(key, 0))))
    return min(found, default=None)


def cpu_limit_cores(round_: Round) -> tuple[float | None, str]:
    """Return the smallest CPU quota in cores, and where it is from; `None`: there is none."""
    group = find_group(round_, "cpu")
    found: list[tuple[float, str]] = []
    for folder in group.folders:
        try:
            if group.version == 2:
                words = round_.text(f"{folder}/cpu.max").split()
                quota, period = whole_number(words[0]), whole_number(words[1])
            else:
                quota = round_.number(f"{folder}/cpu.cfs_quota_us")
                period = round_.number(f"{folder}/cpu.cfs_period_us")
        except (UnreadError, IndexError):
            continue
        if quota > 0 and period > 0:
            found.append((quota / period, folder))
    if not found:
        return None, group.folders[0] if group.folders else ""
    return min(found)


def read_cgroup(round_: Round) -> list[SensorReading]:
    """Return limits and what is used of them; nothing where there are no control groups."""
    return [*_memory(round_), *_cpu(round_), *_pids(round_)]


def _memory(round_: Round) -> list[SensorReading]:
    group = find_group(round_, "memory")
    if not group.folders:
        return []
    own, kind = group.folders[0], SensorKind.MEMORY
    readings = [_limit(round_, kind, "B", memory_limit_bytes(round_))]
    if group.version == 2:
        high = min(_limits(round_, group, "memory.high", ""), default=(None, own))
        readings.append(_limit(round_, kind, "B", high, "cgroup/high"))
        path = f"{own}/memory.current"
        events = _statistics(round_, f"{own}/memory.events")
        pressures = read_pressure_file(round_, f"{own}/memory.pressure", "cgroup.memory")
    else:
        path = f"{own}/memory.usage_in_bytes"
        events = _statistics(round_, f"{own}/memory.oom_control")
        pressures = []
    readings.append(round_.measure(kind, "cgroup/current", "B", path, 1.0))
    if "oom_kill" in events:
        readings.append(
            round_.reading(kind, "cgroup/oom_kill", float(events["oom_kill"]), "1", own)
        )
    return [*readings, *pressures]


def _cpu(round_: Round) -> list[SensorReading]:
    group = find_group(round_, "cpu")
    if not group.folders:
        return []
    own = group.folders[0]
    readings = [_limit(round_, SensorKind.CPU_QUOTA, "cores", cpu_limit_cores(round_))]
    statistics = _statistics(round_, f"{own}/cpu.stat")
    throttled_us = statistics.get("throttled_usec")
    if throttled_us is None and "throttled_time" in statistics:
        throttled_us = statistics["throttled_time"] // 1000  # Version 1 counts ns.
    for name, value, unit in (
        ("cgroup/nr_throttled", statistics.get("nr_throttled"), "1"),
        ("cgroup/throttled_time", throttled_us, "µs"),
    ):
        if value is not None:
            path = f"{own}/cpu.stat"
            readings.append(round_.reading(SensorKind.THROTTLE, name, float(value), unit, path))
    if group.version == 2:
        for resource in ("cpu", "io"):
            path = f"{own}/{resource}.pressure"
            readings += read_pressure_file(round_, path, f"cgroup.{resource}")
    return readings


def _pids(round_: Round) -> list[SensorReading]:
    group = find_group(round_, "pids")
    if not group.folders:
        return []
    limit = min(_limits(round_, group, "pids.max", "pids.max"), default=(None, group.folders[0]))
    readings = [_limit(round_, SensorKind.PIDS, "1", limit)]
    path = f"{group.folders[0]}/pids.current"
    if round_.files.is_file(path):
        readings.append(round_.measure(SensorKind.PIDS, "cgroup/current", "1", path, 1.0))
    return readings


def _limit(
    round_: Round,
    kind: SensorKind,
    unit: str,
    found: tuple[float | None, str],
    name: str = "cgroup/limit",
) -> SensorReading:
    value, folder = found
    reason = "" if value is not None else "no limit is set"
    return round_.reading(kind, name, value, unit, folder, reason=reason)
