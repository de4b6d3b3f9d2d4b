"""Blocks of telemetry: what was packed comes back equal, and what is no block is refused."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconsole.errors import ProtocolError
from edgeconsole.protocol.backlog import (
    MAX_BLOCK_BYTES,
    MAX_BLOCK_EVENTS,
    MAX_BLOCK_SAMPLES,
    Block,
    Gap,
    pack,
    unpack,
)
from edgeconsole.protocol.figures import Figures
from edgeconsole.protocol.rollups import Rollup, fold, merge
from edgeconsole.protocol.telemetry import DeviceEvent, Quality, Severity
from edgeconsole.specs import AgentState

counts = st.integers(0, 1 << 40)


def hundredths(most: int = 10**9) -> st.SearchStrategy[float | None]:
    """Return numbers with two digits after the point, or none at all."""
    return st.none() | st.integers(-most, most).map(lambda number: number / 100)


def micros() -> st.SearchStrategy[float | None]:
    """Return durations in ms with three digits after the point, or none."""
    return st.none() | st.integers(1, 10**10).map(lambda number: number / 1000)


words = st.none() | st.text(max_size=9)
figures = st.builds(
    Figures,
    seq=counts,
    time_unix_s=st.integers(0, 10**13).map(lambda ms: ms / 1000),
    state=st.sampled_from(AgentState),
    model=words,
    version=words,
    variant=words,
    deadline_ms=micros(),
    p50_ms=micros(),
    p95_ms=micros(),
    p99_ms=micros(),
    rate_per_s=st.integers(0, 10**9).map(lambda number: number / 100),
    requests_total=counts,
    answered_total=counts,
    refused_total=counts,
    failed_total=counts,
    late_total=counts,
    degraded_total=counts,
    temp_c=hundredths(),
    temp_quality=st.sampled_from(Quality),
    power_w=hundredths(),
    power_quality=st.sampled_from(Quality),
    cpu_percent=hundredths(),
    memory_percent=hundredths(),
)
EVENT = DeviceEvent("a", "boot-1", 3, 1.75e9, Severity.WARNING, "kind", "é\n")


@settings(max_examples=50, deadline=None)
@given(st.lists(figures, max_size=5).map(tuple), st.sampled_from([0, 1, 8]))
def test_what_was_packed_comes_back_equal(samples: tuple[Figures, ...], every: int) -> None:
    """Every figure, known or not, is the same to the last digit."""
    gap = Gap(1.0, 61.0, 60, 2, "no room")
    rollup = fold(samples) if samples else None
    block = Block(samples, (EVENT,), rollup, 1.75e9, every, gap)
    assert unpack(pack(block)) == block


def sample(seq: int, **changes: object) -> Figures:
    """Return a quiet sample."""
    quiet = Figures(
        *(seq, 1.75e9 + seq, AgentState.READY, None, None, None, None, None, None, None, 0.0),
        *(0, 0, 0, 0, 0, 0, 50.0, Quality.MEASURED, None, Quality.UNKNOWN, 10.0, 20.0),
    )
    return msgspec.structs.replace(quiet, **changes)


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    """Bytes that are no block are a protocol error and nothing else."""
    with pytest.raises(ProtocolError, match="block of telemetry"):
        unpack(data)


@given(st.data())
def test_a_damaged_block_is_refused_or_whole(data: st.DataObject) -> None:
    """A block with a changed byte, or cut off, never raises anything but a protocol error."""
    raw = bytearray(zlib.decompress(pack(Block(tuple(sample(seq) for seq in range(5)), (EVENT,)))))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(raw)))
    try:
        unpack(zlib.compress(bytes(raw[:cut])))
    except ProtocolError as error:
        assert "block of telemetry" in error.message  # noqa: PT017


def test_a_block_that_would_fill_the_memory_is_refused() -> None:
    """A few kilobytes that unpack to more than a block may hold are not unpacked."""
    bomb = zlib.compress(b"\0" * (MAX_BLOCK_BYTES * 50), 9)
    with pytest.raises(ProtocolError, match="above 1048576 bytes"):
        unpack(bomb)


def test_a_run_longer_than_its_block_is_refused() -> None:
    """A run of a billion words in a small block costs no memory."""
    packed = msgspec.msgpack.decode(zlib.decompress(pack(Block((sample(1),)))))
    packed[1][-1] = ["unknown", 10**9]
    with pytest.raises(ProtocolError, match="longer than the block"):
        unpack(zlib.compress(msgspec.msgpack.encode(packed)))


def test_a_format_to_come_is_refused_with_what_to_do() -> None:
    """The message names both formats."""
    packed = msgspec.msgpack.decode(zlib.decompress(pack(Block())))
    packed[0] = 9
    with pytest.raises(ProtocolError, match="format 9, this program reads 1") as caught:
        unpack(zlib.compress(msgspec.msgpack.encode(packed)))
    assert "update" in caught.value.hint


@pytest.mark.parametrize(
    "block",
    [
        Block(tuple(sample(seq) for seq in range(MAX_BLOCK_SAMPLES + 1))),
        Block(events=(EVENT,) * (MAX_BLOCK_EVENTS + 1)),
    ],
    ids=["samples", "events"],
)
def test_more_than_a_block_may_hold_is_not_packed(block: Block) -> None:
    """A block that nobody would unpack is not made."""
    with pytest.raises(ValueError, match="at most 600 samples"):
        pack(block)


def test_a_rollup_counts_what_was_added() -> None:
    """Counts are differences, also to the sample before; a counter that fell counts as nothing."""
    rows = [sample(1, failed_total=5), sample(2, failed_total=9), sample(3, failed_total=2)]
    assert fold(rows).failed == 4
    assert fold(rows, before=sample(0, failed_total=1)).failed == 8


def test_a_rollup_knows_what_is_unknown() -> None:
    """Means are over what was known; what never was is unknown, not zero."""
    row = fold([sample(1, temp_c=None), sample(2, temp_c=40.0), sample(3, temp_c=60.0)])
    assert (row.temp_c, row.temp_high_c, row.power_w, row.samples) == (50.0, 60.0, None, 3)


def test_rollups_merge_by_the_number_of_samples() -> None:
    """An hour of a full and a nearly empty minute is close to the full one; a spike stays."""
    full = Rollup(59, temp_c=50.0, temp_high_c=51.0, failed=1, deadline_ms=50.0)
    short = Rollup(1, temp_c=110.0, temp_high_c=110.0, failed=2)
    hour = merge([full, short, Rollup(0)])
    assert (hour.samples, hour.temp_c, hour.temp_high_c) == (60, 51.0, 110.0)
    assert (hour.failed, hour.deadline_ms, hour.power_w) == (3, 50.0, None)
