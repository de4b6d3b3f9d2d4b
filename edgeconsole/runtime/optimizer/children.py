"""`Child`: a process that works for the optimiser, watched while it does.

A candidate may crash, hang or eat memory; then it is its process that ends, and the reason becomes
the candidate's row.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import psutil

from edgeconsole.errors import BackendError
from edgeconsole.runtime.health.headroom import available_memory_bytes
from edgeconsole.runtime.optimizer.child import NICE
from edgeconsole.runtime.optimizer.words import Failed

_LOOK_S: Final = 0.1
_END_S: Final = 30.0
"""A nice process on a busy device takes its time even to end."""
_TAIL_BYTES: Final = 2000


class ChildError(BackendError):
    """A child process failed, ended, took too long or too much memory."""


class Child:
    """One process; `ask` sends a request and waits for its reply."""

    def __init__(
        self, module: str, replies: Any, *, memory_bytes: int | None, threads: int
    ) -> None:
        """Start `python -m module`; raises `ChildError` if the system refuses."""
        self._decode = msgspec.json.Decoder(replies).decode
        self._encode = msgspec.json.Encoder().encode
        self._memory_bytes = memory_bytes
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._received = bytearray()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", module, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                process_group=0,
                env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONSAFEPATH": "1"},
            )
        except OSError as error:
            self._errors.close()
            raise ChildError(f"a process could not be started: {error.strerror}") from error
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)
        assert self._process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def ask(self, request: msgspec.Struct, *, timeout_s: float) -> Any:
        """Send a request and return its reply; raises `ChildError` with the reason."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(self._encode(request) + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None
        line = self._line(time.monotonic() + timeout_s, timeout_s)
        try:
            reply = self._decode(line)
        except msgspec.MsgspecError as error:
            raise ChildError("it said something that is no reply") from error
        if isinstance(reply, Failed):
            raise ChildError(reply.reason)
        return reply

    def lines(self, request: msgspec.Struct, *, timeout_s: float) -> Iterator[bytes]:
        """Send the only request and yield what is said until the caller stops; raises `ChildError`."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(self._encode(request) + b"\n")
            self._process.stdin.close()
        until_s = time.monotonic() + timeout_s
        while True:
            yield self._line(until_s, timeout_s)

    def cpu_s(self) -> float:
        """Return the processor time it has used."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def close(self) -> None:
        """End the process and wait for it."""
        process = self._process
        if process.poll() is None:
            self._kill()
            process.wait(_END_S)
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        self._selector.close()
        if process.stdout is not None:
            process.stdout.close()
        self._errors.close()

    def _line(self, until_s: float, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        while (end := self._received.find(b"\n")) < 0:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                self._kill()
                raise ChildError(f"it did not answer within {timeout_s:.0f} s")
            if self._selector.select(min(left_s, _LOOK_S)):
                data = os.read(self._process.stdout.fileno(), 1 << 16)
                if not data:
                    raise self._ended()
                self._received += data
            else:
                self._look_at_memory()
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def _look_at_memory(self) -> None:
        if self._memory_bytes is None:
            return
        try:
            used = psutil.Process(self.pid).memory_info().rss
        except psutil.Error:
            return
        if used > self._memory_bytes:
            self._kill()
            limit = self._memory_bytes >> 20
            raise ChildError(f"it used {used >> 20} MiB of memory, {limit} MiB are allowed")

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _ended(self) -> ChildError:
        self._kill()
        status = self._process.wait(_END_S)
        if status < 0:
            with contextlib.suppress(ValueError):
                return ChildError(f"its process was ended by {signal.Signals(-status).name}")
        said = self._last_words()
        return ChildError(f"its process ended with status {status}" + (f": {said}" if said else ""))

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _TAIL_BYTES))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


def memory_left_bytes() -> int:
    """Return how much memory a child may use: most of what is free, for serving goes on."""
    return int(available_memory_bytes() * 0.7)


def work_folder(parent: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """Return a folder that ends with the job."""
    return tempfile.TemporaryDirectory(prefix="edgeconsole-optimize-", dir=parent)
