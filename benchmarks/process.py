"""Processes of a run: started, paused while others are measured, and ended by their ids."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from benchmarks.jobs import Done, Job, Outcome, decode_report, encode
from edgeconsole.runtime.linux import signal_parent_death

ROOT: Final = Path(__file__).parent.parent
JOB_TIMEOUT_S: Final = 120.0
_END_TIMEOUT_S: Final = 8.0
_LOOK_EVERY_S: Final = 0.02
_SETTLE_TIMEOUT_S: Final = 8.0
_QUIET_S: Final = 0.3
_QUIET_SHARE: Final = 0.1
"""The share of one core that a server may use and still count as idle."""


class BenchError(Exception):
    """A measurement could not be made; the message says which and why."""


class Tree:
    """A started process and all that it starts."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self._root = psutil.Process(process.pid)
        self._ending: list[psutil.Process] = []
        self._end_until_s = 0.0

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Say whether it still runs."""
        return self.process.poll() is None

    def members(self) -> list[psutil.Process]:
        """Return the process and its descendants, parents first."""
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return [self._root]

    def cpu_s(self) -> dict[int, float]:
        """Return the CPU seconds that each member has used so far, by process id."""
        used: dict[int, float] = {}
        for member in self.members():
            with contextlib.suppress(psutil.Error):
                times = member.cpu_times()
                used[member.pid] = times.user + times.system
        return used

    def pause(self) -> None:
        """Stop all members, so that an idle server's polling is not charged to another."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let all members run again."""
        self._signal(signal.SIGCONT)

    def settle(self) -> None:
        """Wait until all members have nothing to do; a tree that never idles is let be."""
        until_s = time.monotonic() + _SETTLE_TIMEOUT_S
        while time.monotonic() < until_s:
            before_s = sum(self.cpu_s().values())
            time.sleep(_QUIET_S)
            if sum(self.cpu_s().values()) - before_s <= _QUIET_SHARE * _QUIET_S:
                return

    def ask_to_end(self) -> None:
        """Ask to end in order, without waiting for it."""
        # Whoever loses its parent cannot be found any more.
        self._ending = self.members()
        self.resume()
        if self.alive:
            self.process.terminate()
        self._end_until_s = time.monotonic() + _END_TIMEOUT_S

    def end(self) -> None:
        """End in order; what does not end in time is killed."""
        if not self._ending:
            self.ask_to_end()
        left = _wait_for_end(self._ending, self._end_until_s)
        for member in left:
            with contextlib.suppress(psutil.Error):
                member.kill()
        _wait_for_end(left, time.monotonic() + _END_TIMEOUT_S)
        self.process.wait(_END_TIMEOUT_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def said(self) -> str:
        """Return its log; empty if that cannot be read."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.said()[-2_000:].strip()

    def _signal(self, number: signal.Signals) -> None:
        for member in self.members():
            with contextlib.suppress(psutil.Error):
                member.send_signal(number)


class Processes:
    """Starts processes and ends those that are left, whatever happens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trees: list[Tree] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all processes, the last started first."""
        for tree in reversed(self._trees.copy()):
            self.end(tree)

    def start(
        self,
        command: Sequence[str],
        *,
        piped: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Tree:
        """Start a process in a session of its own, which dies with this one."""
        log = self._folder / f"process-{len(list(self._folder.glob('process-*.log'))) + 1}.log"
        pipe = subprocess.PIPE if piped else None
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - commands are built here
                command,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or file,
                stderr=file,
                cwd=self._folder,
                env=_environment(environment or {}),
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - this program has one thread
            )
        tree = Tree(process, log)
        self._trees.append(tree)
        return tree

    def end(self, tree: Tree) -> None:
        """End one process and what it started."""
        if tree in self._trees:
            self._trees.remove(tree)
            tree.end()


class Driver:
    """A client process that does one job at a time."""

    def __init__(self, processes: Processes) -> None:
        self._tree = processes.start([sys.executable, "-m", "benchmarks.driver"], piped=True)

    def ask(self, job: Job) -> list[Outcome]:
        """Do a job; raises `BenchError`."""
        self.begin(job)
        return self.finish()

    def begin(self, job: Job) -> None:
        """Hand a job over without waiting for it."""
        stdin = self._tree.process.stdin
        assert stdin is not None
        try:
            stdin.write(encode(job) + b"\n")
            stdin.flush()
        except OSError as error:
            raise BenchError(f"the client process is gone: {self._tree.last_words()}") from error

    def finish(self) -> list[Outcome]:
        """Wait for the job that was handed over; raises `BenchError`."""
        stdout = self._tree.process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(JOB_TIMEOUT_S):
                raise BenchError(f"a client process did not answer in {JOB_TIMEOUT_S:.0f} s")
        line = stdout.readline()
        if not line:
            raise BenchError(f"the client process ended: {self._tree.last_words()}")
        report = decode_report(line)
        if not isinstance(report, Done):
            raise BenchError(report.reason)
        return report.outcomes


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def runs(process: psutil.Process) -> bool:
    """Say whether a process runs; whoever adopts an orphan may take its time to reap it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait_for_end(members: list[psutil.Process], until_s: float) -> list[psutil.Process]:
    """Return those that still run then."""
    while (left := [each for each in members if runs(each)]) and time.monotonic() < until_s:
        time.sleep(_LOOK_EVERY_S)
    return left


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def _die_with_parent() -> None:
    signal_parent_death(signal.SIGKILL)
