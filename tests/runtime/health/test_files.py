"""Reads are bounded in time, size and number, whatever hangs, fails or is not what it seems."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeconsole.runtime.health.sensors import files
from edgeconsole.runtime.health.sensors.files import BackOff, FileReader, Files, UnreadError
from edgeconsole.runtime.health.sensors.guard import DEADLINE_S, MOST_STUCK

Waiting = Callable[[str], str]


@pytest.fixture(name="hanging")
def pipes_that_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    """Make pipes whose reading blocks in the kernel, as a driver's may; all are freed at the end."""
    read, pipes = files._read, []

    def blocking(path: str, limit: int) -> bytes:
        if path not in pipes:
            return read(path, limit)
        with Path(path).open("rb") as file:  # Without O_NONBLOCK: waits for a writer.
            return file.read(limit)

    def make(name: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        pipes.append(str(path))
        return str(path)

    monkeypatch.setattr(files, "_read", blocking)
    yield make
    for pipe in pipes:
        free(pipe)
    for thread in threading.enumerate():
        if thread.name == "sensors":
            thread.join(10)


def free(pipe: str) -> None:
    """Let whoever reads a pipe come back with `7`; nothing happens if nobody does."""
    try:
        writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    os.write(writer, b"7")
    os.close(writer)


def stuck_threads() -> int:
    """Return how many reading threads there are."""
    return sum(thread.name == "sensors" for thread in threading.enumerate())


def texts(*paths: str) -> Callable[[Files], list[str]]:
    """Return work that reads files, and gives the reason for those that cannot be read."""

    def work(reader: Files) -> list[str]:
        found = []
        for path in paths:
            try:
                found.append(reader.read(path).decode())
            except UnreadError as error:
                found.append(error.reason)
        return found

    return work


def test_a_read_that_hangs_is_given_up_and_the_rest_is_read(
    tmp_path: Path, hanging: Waiting
) -> None:
    """The round ends soon after the deadline with everything else; the next one does not wait again."""
    good = tmp_path / "good"
    good.write_text("5")
    pipe = hanging("chip/temp1_input")
    reader = FileReader()
    began_s = time.monotonic()
    first = reader.round(texts(pipe, str(good)))
    assert DEADLINE_S <= time.monotonic() - began_s < 10 * DEADLINE_S
    assert first == ["did not come back in 0.2 s", "5"]
    began_s = time.monotonic()
    assert reader.round(texts(pipe, str(good)))[1] == "5"
    assert time.monotonic() - began_s < DEADLINE_S
    assert stuck_threads() == 1


def test_what_shares_a_folder_with_what_hangs_is_left_alone(
    tmp_path: Path, hanging: Waiting
) -> None:
    """A chip whose every file hangs costs one thread."""
    pipes = [hanging(f"chip/temp{number}_input") for number in range(12)]
    said = FileReader().round(texts(*pipes))
    assert said == [
        "did not come back in 0.2 s",
        *["a read in this folder does not come back"] * 11,
    ]
    assert stuck_threads() == 1


def test_threads_that_hang_are_bounded_and_reading_begins_again(
    tmp_path: Path, hanging: Waiting
) -> None:
    """With `MOST_STUCK` folders hanging there is one error at once, until one of the reads comes back."""
    pipes = [hanging(f"chip{number}/temp1_input") for number in range(MOST_STUCK + 3)]
    reader = FileReader()
    with pytest.raises(UnreadError, match=f"{MOST_STUCK} reads hang in the kernel"):
        reader.round(texts(*pipes))
    began_s = time.monotonic()
    with pytest.raises(UnreadError, match="reads hang"):
        reader.round(texts(str(tmp_path)))
    assert time.monotonic() - began_s < DEADLINE_S
    assert stuck_threads() == MOST_STUCK
    waiting = [thread for thread in threading.enumerate() if thread.name == "sensors"]
    free(pipes[0])
    waiting[0].join(10)
    (tmp_path / "good").write_text("5")
    assert reader.round(texts(str(tmp_path / "good"))) == ["5"]


@pytest.mark.parametrize("ask", ["is_folder", "is_file", "names", "link"])
def test_a_look_that_hangs_costs_one_thread_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """What is asked about a path, not of it, is under the same deadline and not asked twice."""
    wait, path = threading.Event(), str(tmp_path / "chip")

    def hang(_: object) -> bool:
        return wait.wait(20)

    for name in ("path.isdir", "path.isfile", "scandir", "readlink"):
        monkeypatch.setattr(f"os.{name}", hang)
    reader = FileReader()
    try:
        for _ in range(3):
            assert not reader.round(lambda files: getattr(files, ask)(path))
            assert stuck_threads() == 1
    finally:
        wait.set()
        for thread in threading.enumerate():
            if thread.name == "sensors":
                thread.join(10)


def test_a_thread_that_comes_back_late_does_not_go_on(tmp_path: Path, hanging: Waiting) -> None:
    """What was given up ends; it does no more work beside its successor."""
    pipe = hanging("chip/temp1_input")
    after: list[int] = []

    def work(reader: Files) -> None:
        try:
            reader.read(pipe)
        except UnreadError:
            return
        after.append(1)

    FileReader().round(work)
    (late,) = [thread for thread in threading.enumerate() if thread.name == "sensors"]
    free(pipe)
    late.join(10)
    assert not late.is_alive()
    assert after == []


def test_an_error_in_the_work_is_raised_where_it_is_waited_for() -> None:
    """A defect is not swallowed by the thread."""

    def work(_: Files) -> None:
        raise LookupError("a defect")

    with pytest.raises(LookupError, match="a defect"):
        FileReader().round(work)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is not a regular file"),
        (lambda path: Path(path).symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: Path(path).symlink_to(path), "is not there"),
        (lambda path: Path(path).symlink_to("/nowhere"), "is not there"),
    ],
    ids=["pipe", "folder", "device", "loop", "dangling"],
)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[str], None], reason: str
) -> None:
    """Nothing is waited for, and nothing endless is read."""
    path = str(tmp_path / "it")
    make(path)
    assert FileReader().round(texts(path)) == [reason]


def test_of_a_large_file_only_a_piece_is_read(tmp_path: Path) -> None:
    """However large a file claims to be, an attribute is 4 KiB; procfs files are bounded too."""
    path = tmp_path / "large"
    path.write_bytes(b"x" * 1_000_000)

    def sizes(reader: Files) -> tuple[int, int]:
        return len(reader.read(str(path))), len(reader.read(str(path), files.PROC_BYTES))

    assert FileReader().round(sizes) == (files.ATTRIBUTE_BYTES, files.PROC_BYTES)


def test_a_folder_with_too_many_entries_is_cut(tmp_path: Path) -> None:
    """Names come in the order people count, and no more than there is room for."""
    for number in (1, 10, 2):
        (tmp_path / f"hwmon{number}").touch()
    names = FileReader().round(lambda reader: reader.names(str(tmp_path)))
    assert names == ["hwmon1", "hwmon2", "hwmon10"]
    for number in range(files.MAX_NAMES):
        (tmp_path / f"other{number}").touch()
    assert len(FileReader().round(lambda reader: reader.names(str(tmp_path)))) == files.MAX_NAMES


def test_a_file_that_fails_is_asked_less_and_less() -> None:
    """Pauses grow from half a second to 30 s, keep the reason, and end with the first success."""
    now_s = 0.0
    back_off = BackOff(lambda: now_s)
    pauses = []
    for _ in range(8):
        back_off.failed("x", "EIO")
        began_s = now_s
        while back_off.holds("x"):
            assert back_off.holds("x") == "EIO"
            now_s += 0.5
        pauses.append(now_s - began_s)
    assert pauses == [0.5, 2.5, 6.5, 14.5, 30.0, 30.0, 30.0, 30.0]
    back_off.worked("x")
    back_off.failed("x", "EIO")
    now_s += 0.5
    assert back_off.holds("x") is None


def test_the_memory_of_failures_is_bounded() -> None:
    """Of more files than are remembered, those that failed first are asked again."""
    back_off = BackOff(lambda: 0.0)
    for number in range(2000):
        back_off.failed(f"file{number}", "EIO")
    held = [number for number in range(2000) if back_off.holds(f"file{number}")]
    assert held == list(range(2000 - 1024, 2000))


def test_a_question_that_hangs_leaves_its_library_alone() -> None:
    """Libraries and tools are under the same rules as files."""
    wait = threading.Event()
    reader = FileReader(deadline_s=0.05)

    def ask(reader: Files) -> list[str]:
        said = []
        for what in ("nvml/one", "nvml/two"):
            try:
                said.append(str(reader.call(what, lambda: wait.wait(20))))
            except UnreadError as error:
                said.append(error.reason)
        return said

    try:
        assert reader.round(ask) == [
            "did not come back in 0.05 s",
            "an earlier question did not come back",
        ]
    finally:
        wait.set()
