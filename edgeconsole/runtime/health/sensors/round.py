"""One round of reading: where the trees are, what was counted before, the clock; and how readings are made."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.files import ATTRIBUTE_BYTES, PROC_BYTES, Files, UnreadError
from edgeconsole.text import printable

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_MAX_NAME: Final = 96
_MAX_TEXT: Final = 256


@dataclass(frozen=True, slots=True)
class Count:
    """What a counter said at one moment of the monotonic clock."""

    at_s: float
    value: float


@dataclass(frozen=True, slots=True)
class Round:
    """What a collector gets. `after` takes its counters, which are `before` in the next round."""

    files: Files
    sysfs: str = "/sys"
    procfs: str = "/proc"
    clock: Callable[[], float] = time.monotonic
    before: Mapping[str, Count] = field(default_factory=dict)
    after: dict[str, Count] = field(default_factory=dict)

    def sys(self, path: str) -> str:
        """Return a path below the root of sysfs."""
        return f"{self.sysfs}/{path}"

    def proc(self, path: str) -> str:
        """Return a path below the root of procfs."""
        return f"{self.procfs}/{path}"

    def folder(self, path: str) -> str | None:
        """Return the folder a path means, links followed; `None` if it leads nowhere or out of the tree."""
        if not self.files.is_folder(path):
            path = self.files.link(path)
            if not path.startswith(f"{self.sysfs}/") or not self.files.is_folder(path):
                return None
        if self.sysfs != "/sys":
            root, real = os.path.realpath(self.sysfs), os.path.realpath(path)
            if real != root and not real.startswith(f"{root}/"):
                return None
        return path

    def folders(self, path: str, pattern: re.Pattern[str]) -> list[tuple[str, str]]:
        """Return names and folders of what matches in a folder of sysfs."""
        parent = self.sys(path)
        found = [name for name in self.files.names(parent) if pattern.fullmatch(name)]
        pairs = [(name, self.folder(f"{parent}/{name}")) for name in found]
        return [(name, folder) for name, folder in pairs if folder is not None]

    def text(self, path: str) -> str:
        """Return an attribute as text; raises `UnreadError`."""
        return self.files.read(path, ATTRIBUTE_BYTES).decode(errors="replace").strip(" \t\r\n\0")

    def label(self, path: str) -> str:
        """Return a short text fit for a name; empty if it cannot be read."""
        try:
            return clean(self.text(path), _MAX_NAME)
        except UnreadError:
            return ""

    def number(self, path: str) -> int:
        """Return a whole number; raises `UnreadError`."""
        return whole_number(self.text(path))

    def maybe(self, path: str) -> int | None:
        """Return a whole number, or `None` if there is none to read."""
        try:
            return self.number(path)
        except UnreadError:
            return None

    def lines(self, path: str) -> list[str]:
        """Return the lines of a file of procfs or cgroupfs; raises `UnreadError`."""
        return self.files.read(path, PROC_BYTES).decode(errors="replace").splitlines()

    def count(self, key: str, value: float, at_s: float) -> Count | None:
        """Note what a counter says; returns what it said before."""
        before = self.before.get(key)
        self.after[key] = Count(at_s, value)
        return before

    def shown(self, path: str) -> str:
        """Return a path as it would be on the device itself."""
        for root, name in ((self.sysfs, "/sys"), (self.procfs, "/proc")):
            if path.startswith(f"{root}/"):
                return name + path[len(root) :]
        return path

    def reading(
        self,
        kind: SensorKind,
        name: str,
        value: float | None,
        unit: str,
        source: str,
        *,
        quality: Quality = Quality.MEASURED,
        reason: str = "",
        limits: Mapping[str, float] | None = None,
        state: str = "",
    ) -> SensorReading:
        """Return a reading whose texts fit a line; what is not a number becomes unknown."""
        if value is not None and not math.isfinite(value):
            value, reason = None, "is not a number"
        return SensorReading(
            kind=kind,
            name=clean(name, _MAX_NAME),
            value=value,
            unit=unit,
            source=clean(self.shown(source), _MAX_TEXT),
            quality=Quality.UNKNOWN if value is None else quality,
            reason=clean(reason, _MAX_TEXT),
            limits=dict(limits or {}),
            state=clean(state, _MAX_NAME),
        )

    def unknown(
        self,
        kind: SensorKind,
        name: str,
        unit: str,
        source: str,
        reason: str,
        *,
        limits: Mapping[str, float] | None = None,
    ) -> SensorReading:
        """Return a reading without a value."""
        return self.reading(kind, name, None, unit, source, reason=reason, limits=limits)

    def measure(
        self,
        kind: SensorKind,
        name: str,
        unit: str,
        path: str,
        per: float,
        *,
        least: float = 0.0,
        most: float = math.inf,
        limits: Mapping[str, float] | None = None,
        state: str = "",
    ) -> SensorReading:
        """Return what a file says, which counts `per` to the unit; unknown if not within `least` and `most`."""
        try:
            value = self.number(path) / per
        except UnreadError as error:
            return self.unknown(kind, name, unit, path, error.reason, limits=limits)
        if not least <= value <= most:
            reason = implausible(value, unit)
            return self.unknown(kind, name, unit, path, reason, limits=limits)
        return self.reading(kind, name, value, unit, path, limits=limits, state=state)


def implausible(value: float, unit: str) -> str:
    """Return the reason for a value that cannot be."""
    return f"{value:g}{'' if unit == '1' else f' {unit}'} is not plausible"


def whole_number(text: str) -> int:
    """Return the number a text is; raises `UnreadError` for anything else."""
    if not _INTEGER.fullmatch(text):
        raise UnreadError(f"{text[:20]!r} is not a number" if text else "is empty")
    return int(text)


def clean(text: str, most: int) -> str:
    """Return a text of at most so many characters that any terminal and any encoder takes."""
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
