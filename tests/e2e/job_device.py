"""A real agent whose optimiser is the stand-in, and one console's connection to it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Self

import psutil

from edgeconsole.fleet.control import ControlLink
from edgeconsole.protocol.control import CancelJob, ListJobs, Optimize, Subscribe
from edgeconsole.protocol.jobs import Job, JobState

STANDIN = (Path(__file__).with_name("standin_agent.py"),)


class Device:
    """A running agent with the stand-in, and one console's connection to it."""

    def __init__(self, agents, home: Path) -> None:
        self._agents = agents
        self.home = home
        self.behave("")
        self.agent = agents.start(home, program=STANDIN)
        self.link = ControlLink(self.agent.url, self.agent.token, self._take)
        self.events: list[tuple[str, str]] = []

    async def __aenter__(self) -> Self:
        await self.link.__aenter__()
        await self.link.ask(Subscribe(id="s", interval_s=60.0))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.link.__aexit__(None, None, None)

    async def restart(self) -> None:
        """Start the agent anew; it is gone already."""
        await self.link.__aexit__(None, None, None)
        self.agent = await asyncio.to_thread(self._agents.start, self.home, program=STANDIN)
        self.link = ControlLink(self.agent.url, self.agent.token, self._take)
        await self.__aenter__()

    def _take(self, push) -> None:
        if hasattr(push, "event"):
            self.events.append((push.event.kind, push.event.message))

    def behave(self, *how: str) -> None:
        """Say how the next job behaves."""
        (self.home / "behaviour").write_text(" ".join(how))

    def write_fleet(self) -> Path:
        """Write a fleet file with this device; returns it."""
        file = self.home / "fleet.toml"
        file.write_text(
            f'history = "h.db"\n[[devices]]\nid = "dev-1"\nurl = "{self.agent.url}"\n'
            'token_file = "state/token"\n'
        )
        return file

    def go(self) -> None:
        """Let jobs that wait go on."""
        (self.home / "go").touch()

    def starts(self) -> list[dict]:
        """Return what the stand-in noted, a start each."""
        file = self.home / "starts.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    async def order(self, **wanted) -> str:
        """Order a job; returns its id."""
        command = Optimize(
            **{"id": self.link.next_id(), "actor": "kim", "model": "digits", **wanted}
        )
        return (await self.link.ask(command)).job_id

    async def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        (job,) = (await self.link.ask(ListJobs(self.link.next_id(), job_id))).jobs
        return job

    async def jobs(self) -> list[Job]:
        """Return all jobs."""
        return list((await self.link.ask(ListJobs(self.link.next_id()))).jobs)

    async def until(self, job_id: str, *states: JobState, stage: str = "") -> Job:
        """Wait until a job is in one of these states; any other end fails the test."""
        async with asyncio.timeout(20):
            while True:
                job = await self.job(job_id)
                said = "" if job.progress is None else job.progress.stage
                if job.state in states and stage in ("", said):
                    return job
                assert not job.state.final, job
                await asyncio.sleep(0.02)

    async def running(self, job_id: str) -> Job:
        """Wait until a job runs and has said how far it is."""
        return await self.until(job_id, JobState.RUNNING, stage="build")

    async def cancel(self, job_id: str) -> str:
        """Cancel a job."""
        return (await self.link.ask(CancelJob(self.link.next_id(), job_id, "ann"))).message


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody waited for yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
