"""Evidence on disk: what the ladders looked at, one JSON object a line, to be replayed.

Two files of bounded size: when the newer is full it takes the place of the older. Lines wait in memory
until `flush`, which blocks and is called in a thread; overflow rule: the oldest waiting are dropped.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.errors import StoreError
from edgeconsole.runtime.failsafe.evidence import Evidence

MAX_WAITING: Final = 4096


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line: a route's evidence at a moment of the monotonic clock."""

    at_s: float
    evidence: Evidence = Evidence()
    model: str = ""
    released: bool = False
    """An operator ended a latch just before."""


class EvidenceRecorder:
    """Appends evidence to a file."""

    def __init__(self, file: Path, max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._encode = msgspec.json.Encoder().encode

    def record(self, line: Recorded) -> None:
        """Note one line."""
        self._waiting.append(self._encode(line) + b"\n")

    def flush(self) -> None:
        """Write what waits; raises `StoreError`, and then what waited is dropped."""
        lines: list[bytes] = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        if not lines:
            return
        try:
            with self._file.open("ab") as file:
                file.writelines(lines)
                size_bytes = file.tell()
            if size_bytes >= self._max_bytes // 2:
                os.replace(self._file, self._file.with_name(self._file.name + ".1"))  # noqa: PTH105
        except OSError as error:
            raise StoreError(
                f"{self._file}: evidence cannot be recorded: {error.strerror}",
                hint="change [failsafe] record",
            ) from error
