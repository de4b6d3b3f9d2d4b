"""Commands by their ids: carried out once, however often and from wherever they come."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgeconsole.runtime.outcomes import FILE_NAME, MAX_COMMANDS, CommandLog, Outcomes

ID = "c" * 32


class Work:
    """Counts how often it is done; waits to be let go, and fails if told."""

    def __init__(self) -> None:
        self.done = 0
        self.fails = False
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> str:
        """Do it."""
        await self.go.wait()
        if self.fails:
            raise RuntimeError("no")
        self.done += 1
        return f"done {self.done}"


async def test_a_command_is_carried_out_once_also_after_a_restart(tmp_path: Path) -> None:
    """The second time the first answer is given again, by the next agent as well."""
    work, log = Work(), CommandLog(tmp_path)
    log.open()
    assert [await log.once(ID, work) for _ in range(2)] == ["done 1", "done 1"]
    again = CommandLog(tmp_path)
    again.open()
    assert await again.once(ID, work) == "done 1"
    assert await again.once("d" * 32, work) == "done 2"


async def test_one_that_is_still_under_way_is_waited_for(tmp_path: Path) -> None:
    """A console that sends it again gets the answer to the first, not a second run."""
    work, log = Work(), CommandLog(tmp_path)
    work.go.clear()
    both = asyncio.gather(log.once(ID, work), log.once(ID, work))
    await asyncio.sleep(0)
    work.go.set()
    assert await both == ["done 1", "done 1"]


async def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    """A failure is not an outcome; whoever waited for it tries in turn."""
    work, log = Work(), CommandLog(tmp_path)
    work.fails = True
    work.go.clear()
    both = asyncio.gather(log.once(ID, work), log.once(ID, work), return_exceptions=True)
    await asyncio.sleep(0)
    work.go.set()
    assert [str(each) for each in await both] == ["no", "no"]
    work.fails = False
    assert await log.once(ID, work) == "done 1"


async def test_without_an_id_it_is_done_each_time(tmp_path: Path) -> None:
    """Commands of consoles that give none are as they were."""
    work, log = Work(), CommandLog(tmp_path)
    assert [await log.once("", work) for _ in range(2)] == ["done 1", "done 2"]
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize("content", [b"{", b"[[1]]", b'[{"command_id":7}]', b"\xff"])
async def test_a_damaged_record_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    """It costs the knowledge of what was done, not the agent's start."""
    (tmp_path / FILE_NAME).write_bytes(content)
    work, log = Work(), CommandLog(tmp_path)
    log.open()
    assert await log.once(ID, work) == "done 1"
    again = CommandLog(tmp_path)
    again.open()
    assert await again.once(ID, work) == "done 1"


async def test_a_disk_that_refuses_does_not_undo_what_was_done(tmp_path: Path) -> None:
    """The command was carried out, and this agent knows it."""
    work, log = Work(), CommandLog(tmp_path / "gone")
    assert [await log.once(ID, work) for _ in range(2)] == ["done 1", "done 1"]


def test_the_oldest_outcome_is_forgotten_first() -> None:
    """The number of outcomes is bounded."""
    outcomes = Outcomes()
    for number in range(MAX_COMMANDS + 1):
        outcomes.add(str(number), "done")
    assert outcomes.get("0") is None
    assert outcomes.get("1") == "done"
    assert len(Outcomes(outcomes.kept()).kept()) == MAX_COMMANDS
