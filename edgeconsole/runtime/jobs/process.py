"""`JobProcess`: a job's program as the agent sees it: started, listened to, ended.

What it says is bounded: of its progress the latest word counts, of its other words the last line,
and a report that is too long ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psutil

from edgeconsole.protocol.jobs import JobProgress
from edgeconsole.text import printable

MAX_REPORT_BYTES: Final = 1 << 20
TERM_GRACE_S: Final = 1.5
"""How long it may take to end in order: a cancelled job is over within two seconds."""
MAX_WORDS: Final = 300
_CHUNK: Final = 1 << 16
_MAX_LINE: Final = 1 << 14
_LINES: Final = 16
"""So many lines of one chunk are looked at, the last ones."""
_PAUSE_S: Final = 0.05
"""A program that says much is listened to this seldom, and waits."""

_progress: Final = msgspec.json.Decoder(JobProgress)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job's process ended."""

    code: int
    """As `subprocess` has it: negative for a signal."""
    report: bytes
    last_words: str
    """The last line on stderr that was no progress, fit for a line on a terminal."""
    killed_for: str
    """Why the agent ended it; empty if it did not."""


class JobProcess:
    """A child process in a group of its own. `on_progress` comes on the event loop."""

    def __init__(self, program: Sequence[str], on_progress: Callable[[JobProgress], None]) -> None:
        """Start it; raises `OSError`. `program` is what follows `python` on a command line."""
        self._loop = asyncio.get_running_loop()
        self._on_progress = on_progress
        self._report = bytearray()
        self._partial = b""
        self._last_words = ""
        self._killed_for = ""
        self._ended: asyncio.Future[Ended] = self._loop.create_future()
        self._paused: asyncio.TimerHandle | None = None
        # From this thread: the kernel ends the child when the thread that started it ends.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "edgeconsole.runtime.jobs.launch", str(os.getpid()), *program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            cwd=Path("/"),
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out, self._err = self._process.stdout.fileno(), self._process.stderr.fileno()
        for descriptor in (self._out, self._err):
            os.set_blocking(descriptor, False)
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            # Nobody would notice its end.
            self._kill_group()
            self._process.communicate()
            raise
        self._loop.add_reader(self._pidfd, self._exited)
        self._loop.add_reader(self._out, self._read_report)
        self._loop.add_reader(self._err, self._read_words)

    @property
    def pid(self) -> int:
        """Return the process id, which is its group's as well."""
        return self._process.pid

    async def ended(self) -> Ended:
        """Wait for the end; waiting may be given up."""
        return await asyncio.shield(self._ended)

    def hold(self, *, held: bool) -> None:
        """Stop it and all it started where they are, or let them go on.

        What it started has groups of its own. It looks through the process table, so it blocks: only
        for seldom use.
        """
        if self._ended.done():
            return
        number = signal.SIGSTOP if held else signal.SIGCONT
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(self._process.pid)
            # The leader first: one that stands still starts nothing more.
            leader.send_signal(number)
            for child in leader.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.send_signal(number)

    def kill(self, why: str) -> None:
        """End the process and all of its group at once; `why` is kept."""
        if not self._ended.done():
            self._killed_for = self._killed_for or why
            self._kill_group()

    async def stop(self, why: str) -> None:
        """Ask the process to end, and end its group if it does not; returns when it is over."""
        if self._ended.done():
            return
        self._killed_for = self._killed_for or why
        # One that stands still would not hear it.
        await asyncio.to_thread(self.hold, held=False)
        # Not `terminate`, which may wait for it: then its number could become another's.
        os.kill(self._process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(TERM_GRACE_S):
                await asyncio.shield(self._ended)
        except TimeoutError:
            self._kill_group()
            await asyncio.shield(self._ended)

    def _kill_group(self) -> None:
        # It is ours until it has been waited for, so the number cannot be another's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read_report(self) -> None:
        data = _read(self._out)
        if data == b"":
            self._loop.remove_reader(self._out)
        if data:
            self._report += data
        if len(self._report) > MAX_REPORT_BYTES:
            self._loop.remove_reader(self._out)
            self.kill(f"it printed more than {MAX_REPORT_BYTES >> 20} MiB where its report belongs")

    def _read_words(self) -> None:
        data = _read(self._err)
        if data == b"":
            self._loop.remove_reader(self._err)
        if data:
            self._take_words(data)
        if data is not None and len(data) == _CHUNK:
            self._loop.remove_reader(self._err)
            self._paused = self._loop.call_later(
                _PAUSE_S, self._loop.add_reader, self._err, self._read_words
            )

    def _take_words(self, data: bytes) -> None:
        *lines, partial = (self._partial + data).rsplit(b"\n", _LINES)
        # Longer than any word of ours: it is none.
        self._partial = partial if len(partial) <= _MAX_LINE else b""
        latest: JobProgress | None = None
        for line in lines:
            if b"\n" in line:
                continue  # Many lines that came at once: later ones count.
            try:
                latest = _progress.decode(line)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                self._note(line)
        if latest is not None:
            self._on_progress(latest)

    def _note(self, line: bytes) -> None:
        words = printable(line[: 4 * MAX_WORDS].decode(errors="replace").strip())
        self._last_words = words[:MAX_WORDS] or self._last_words

    def _exited(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        # What it may have left behind, while its number is still its own.
        self._kill_group()
        code = self._process.wait()
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._out)
        self._loop.remove_reader(self._err)
        self._drain()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        self._ended.set_result(Ended(code, bytes(self._report), self._last_words, self._killed_for))

    def _drain(self) -> None:
        """Take what was said last; a pipe holds no more than this."""
        while len(self._report) <= MAX_REPORT_BYTES and (data := _read(self._out)):
            self._report += data
        for _ in range(_LINES):
            data = _read(self._err)
            if not data:
                break
            self._take_words(data)
        self._take_words(b"\n")


def _read(descriptor: int) -> bytes | None:
    """Return what is there; empty at the end, `None` if there is nothing yet."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None
