"""Blocks of telemetry: a minute of a device as it is kept there and as it travels when it was missed.

A block is msgpack, deflated: a version, then columns, because neighbours in a column are alike.
Numbers are scaled to integers by the precision of `Figures`, counters and times are differences.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import accumulate
from types import GenericAlias
from typing import Any, Final

import msgspec

from edgeconsole.errors import BlockFormatError, ProtocolError
from edgeconsole.protocol.bounds import Count, UnixTime
from edgeconsole.protocol.figures import Figures
from edgeconsole.protocol.rollups import Rollup
from edgeconsole.protocol.telemetry import DeviceEvent

FORMAT: Final = 1
MAX_BLOCK_BYTES: Final = 1 << 20
"""The largest block, unpacked; a larger one is refused before it is all there."""
MAX_BLOCK_SAMPLES: Final = 600
MAX_BLOCK_EVENTS: Final = 128
_LEVEL: Final = 6


class Gap(msgspec.Struct, frozen=True):
    """A time of which a device kept nothing, and why."""

    since_unix_s: UnixTime
    until_unix_s: UnixTime
    samples: Count
    events: Count
    reason: str


class Block(msgspec.Struct, frozen=True):
    """Some of a device's telemetry, at most a minute of its clock."""

    samples: tuple[Figures, ...] = ()
    events: tuple[DeviceEvent, ...] = ()
    rollup: Rollup | None = None
    """Of all samples that there were; `None` while the minute is not over."""
    minute_unix_s: UnixTime = 0.0
    """The minute of the rollup."""
    every: Count = 1
    """Each n-th sample was kept; 0: none, only the rollup."""
    gap: Gap | None = None
    """What is missing before this block."""


class _Packed(msgspec.Struct, array_like=True):
    version: int
    columns: list[list[Any]]
    events: tuple[DeviceEvent, ...]
    rollup: Rollup | None
    minute_unix_s: float
    every: int
    gap: Gap | None


_WORDS: Final = ("state", "model", "version", "variant", "temp_quality", "power_quality")
"""Repeated as runs: value, count, value, count …"""
_SCALED: Final = (
    ("deadline_ms", 1000),
    ("p50_ms", 1000),
    ("p95_ms", 1000),
    ("p99_ms", 1000),
    ("rate_per_s", 100),
    ("temp_c", 100),
    ("power_w", 100),
    ("cpu_percent", 100),
    ("memory_percent", 100),
)
_COUNTS: Final = (
    "seq",
    "requests_total",
    "answered_total",
    "refused_total",
    "failed_total",
    "late_total",
    "degraded_total",
)
_COLUMNS: Final = 1 + len(_COUNTS) + len(_SCALED) + len(_WORDS)
_Checked: Final = msgspec.defstruct(
    "_Checked",
    [(field.name, GenericAlias(list, field.type)) for field in msgspec.structs.fields(Figures)],
)
"""`Figures` as columns: checked a column at a time, they take half as long to read."""


def pack(block: Block) -> bytes:
    """Pack a block; raises `ValueError` if it holds more than a block may."""
    if len(block.samples) > MAX_BLOCK_SAMPLES or len(block.events) > MAX_BLOCK_EVENTS:
        raise ValueError("a block holds at most 600 samples and 128 events")
    kept = block.samples
    times: list[int | None] = [round(each.time_unix_s * 1000) for each in kept]
    columns: list[list[Any]] = [_differences(times)]
    columns += [_differences([getattr(each, name) for each in kept]) for name in _COUNTS]
    columns += [
        _differences([_scaled(getattr(each, name), scale) for each in kept])
        for name, scale in _SCALED
    ]
    columns += [_runs([getattr(each, name) for each in kept]) for name in _WORDS]
    packed = _Packed(
        FORMAT, columns, block.events, block.rollup, block.minute_unix_s, block.every, block.gap
    )
    return zlib.compress(msgspec.msgpack.encode(packed), _LEVEL)


def unpack(data: bytes) -> Block:
    """Return the block in some bytes; raises `ProtocolError` for what is none."""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(data, MAX_BLOCK_BYTES)
        if not inflater.eof:
            raise ProtocolError(
                f"a block of telemetry is cut off, or above {MAX_BLOCK_BYTES} bytes"
            )
        packed = msgspec.msgpack.decode(raw, type=_Packed)
        if packed.version != FORMAT or len(packed.columns) != _COLUMNS:
            raise BlockFormatError(
                f"a block of telemetry has format {packed.version}, this program reads {FORMAT}",
                hint="update the older of console and agent",
            )
        return Block(
            samples=_samples(packed.columns),
            events=packed.events,
            rollup=packed.rollup,
            minute_unix_s=packed.minute_unix_s,
            every=packed.every,
            gap=packed.gap,
        )
    except (zlib.error, msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        raise ProtocolError(f"a block of telemetry cannot be read: {error}") from error


def _samples(columns: list[list[Any]]) -> tuple[Figures, ...]:
    times = _sums(columns[0])
    size = len(times)
    if size > MAX_BLOCK_SAMPLES:
        raise ValueError(f"{size} samples, at most {MAX_BLOCK_SAMPLES}")
    rest = iter(columns[1:])
    fields: dict[str, list[Any]] = {"time_unix_s": _unscaled(times, 1000)}
    for name in _COUNTS:
        fields[name] = _sums(next(rest))
    for name, scale in _SCALED:
        fields[name] = _unscaled(_sums(next(rest)), scale)
    for name in _WORDS:
        fields[name] = _repeated(next(rest), size)
    checked = msgspec.structs.astuple(msgspec.convert(fields, _Checked))
    return tuple(Figures(*row) for row in zip(*checked, strict=True))


def _scaled(number: float | None, scale: int) -> int | None:
    return None if number is None else round(number * scale)


def _unscaled(column: list[int | None], scale: int) -> list[float | None]:
    return [None if value is None else value / scale for value in column]


def _differences(column: Sequence[int | None]) -> list[int | None]:
    """Return each number as its distance from the one before; what is unknown stays so."""
    before, found = 0, []
    for value in column:
        found.append(None if value is None else value - before)
        before = before if value is None else value
    return found


def _sums(column: list[Any]) -> list[int | None]:
    if None not in column:
        return list(accumulate(column))
    before, found = 0, list[int | None]()
    for value in column:
        if value is None:
            found.append(None)
        else:
            before += int(value)
            found.append(before)
    return found


def _runs(column: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for value in column:
        if found and found[-2] == value:
            found[-1] += 1
        else:
            found += [value, 1]
    return found


def _repeated(runs: list[Any], size: int) -> list[Any]:
    found: list[Any] = []
    for value, count in zip(runs[::2], runs[1::2], strict=True):
        if not 0 < count <= size - len(found):
            raise ValueError("a run is longer than the block")
        found += [value] * count
    return found
