"""One worker process as the supervisor sees it: started, spoken to, watched, ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import psutil

from edgeconsole.errors import ProtocolError
from edgeconsole.runtime.linux import may_come_back
from edgeconsole.runtime.serving.channel import (
    FromWorker,
    Load,
    Run,
    Stop,
    SupervisorEnd,
)

_LAST_GRACE_S: Final = 0.5
_NICE: Final = 5
"""The supervisor and what runs beside us go first: an answer that waits for a core is a late one."""
_NICE_AT_START: Final = 12
"""Beside workers that serve: a tenth of what they get, where cores are short (sched(7))."""

_NICEST: Final = 19

_log = logging.getLogger("edgeconsole.agent")


class WorkerProcess:
    """A child process with its channel. Callbacks come on the event loop.

    `on_message` gets every word of the worker; `on_exit` comes once, when the process has ended, with
    what is known of why. One that starts `gently` leaves the cores to those that serve until it is ready,
    where the system lets it come back from that.
    """

    def __init__(
        self,
        load: Load,
        *,
        area_bytes: int,
        gently: bool,
        on_message: Callable[[WorkerProcess, FromWorker], None],
        on_exit: Callable[[WorkerProcess, str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_exit = on_exit
        self._ended = self._loop.create_future()
        self.alive = True
        """Whether the process has not ended."""
        self.channel = SupervisorEnd(area_bytes)
        try:
            self._process = self._spawn(gently=gently)
        except OSError:
            self.channel.close()
            raise
        finally:
            self.channel.close_worker_side()
        # A pidfd tells of the end without a thread and without SIGCHLD.
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._exited)
        self._loop.add_reader(self.channel.socket, self._readable)
        self.channel.send(load)

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def rss_bytes(self) -> int | None:
        """Return the resident memory, or `None` if the process is gone."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return None

    def run(self, message: Run) -> None:
        """Hand over a batch whose inputs lie in memory; a dead worker shows in `on_exit`."""
        self._send(message)

    def kill(self) -> None:
        """End the process at once."""
        if self.alive:
            self._process.kill()

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Ask the process to end, and end it if it does not."""
        self._send(Stop())
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._ended)
        except TimeoutError:
            self.kill()
            await asyncio.shield(self._ended)

    def _send(self, message: Run | Stop) -> None:
        if not self.alive:
            return
        try:
            self.channel.send(message)
        except OSError:
            # It is going, or its queue of words is full though it owes us answers: it is lost.
            self.kill()

    def _spawn(self, *, gently: bool) -> subprocess.Popen[bytes]:
        channel = self.channel
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        serves_at = min(_NICEST, ours + _NICE)
        starts_at = min(_NICEST, ours + _NICE_AT_START) if gently and _comes_back() else serves_at
        descriptors = (channel.worker_socket.fileno(), channel.memory_fd)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                sys.executable,
                "-m",
                "edgeconsole.runtime.serving.worker",
                *(str(each) for each in descriptors),
                str(channel.area_bytes),
                str(os.getpid()),
                str(serves_at),
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            process_group=0,
            cwd=Path("/"),
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"},
        )
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, starts_at)
        return process

    def _readable(self) -> None:
        try:
            message = self.channel.receive()
        except BlockingIOError:
            return
        except ProtocolError as error:
            _log.error("worker %d: %s", self.pid, error)
            self.kill()
            return
        except OSError:
            message = None
        if message is None:
            # Closed, so ending: the pidfd tells when and how.
            self._loop.remove_reader(self.channel.socket)
            self._loop.call_later(_LAST_GRACE_S, self.kill)
            return
        self._on_message(self, message)

    def _exited(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self.channel.socket)
        os.close(self._pidfd)
        code = self._process.wait()
        self.alive = False
        self._ended.set_result(None)
        self._take_last_words()
        self.channel.close()
        self._on_exit(self, _describe_exit(code))

    def _take_last_words(self) -> None:
        """Read what the worker said before it ended, such as why it could not load."""
        try:
            while (message := self.channel.receive()) is not None:
                self._on_message(self, message)
        except (OSError, ProtocolError):
            return


@cache
def _comes_back() -> bool:
    return may_come_back()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
