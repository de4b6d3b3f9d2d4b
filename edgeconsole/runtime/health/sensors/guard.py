"""Runs blocking reads in a thread that is given up when a single one does not come back.

A driver or a bus that hangs keeps the thread that asked it, in a state no signal ends. Such a
thread is left alone and the round begins anew in another, without the folder that hung. At most
`MOST_STUCK` threads are left so; then nothing is read until one of them comes back.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

DEADLINE_S: Final = 0.2
"""How long one read may take."""
MOST_STUCK: Final = 8


class ReadsHangError(Exception):
    """Too many reads hang in the kernel."""


class _AbandonedError(Exception):
    """Ends a thread whose read came back after it was given up."""


class Watch:
    """What one thread is doing right now, for the one that watches it."""

    __slots__ = ("abandoned", "since_s", "what")

    def __init__(self) -> None:
        self.what = ""
        self.since_s = 0.0
        self.abandoned = False

    def enter(self, what: str) -> None:
        """Note that a call begins that may not return."""
        self.since_s = time.monotonic()
        self.what = what

    def leave(self) -> None:
        """Note that it returned."""
        self.what = ""
        if self.abandoned:
            raise _AbandonedError


class Guard:
    """Runs rounds of reads for one caller at a time, and knows what hangs."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._stuck: list[tuple[str, threading.Thread]] = []

    def hangs(self, path: str) -> bool:
        """Say whether a read of this path, or of another in its folder, still hangs."""
        if not self._stuck:
            return False
        above = os.path.dirname(path)
        return any(folder in (path, above) for folder, _ in self._stuck)

    def run(self, work: Callable[[Watch], T], hung: Callable[[str], None]) -> T:
        """Return what `work` returns; it begins anew whenever one of its calls hangs.

        `hung` is told the path that did. Raises `ReadsHangError`, or what `work` raises.
        """
        while True:
            self._stuck = [each for each in self._stuck if each[1].is_alive()]
            if len(self._stuck) >= MOST_STUCK:
                folders = ", ".join(folder for folder, _ in self._stuck)
                raise ReadsHangError(f"{len(self._stuck)} reads hang in the kernel ({folders})")
            attempt = _Attempt(work)
            path = attempt.wait(self._deadline_s)
            if path is None:
                return attempt.result()
            # What shares a folder mostly shares a chip, which would hang for each of its files.
            self._stuck.append((os.path.dirname(path), attempt.thread))
            hung(path)


class _Attempt(Generic[T]):
    def __init__(self, work: Callable[[Watch], T]) -> None:
        self._work = work
        self._watch = Watch()
        self._done = threading.Event()
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self.thread = threading.Thread(target=self._run, name="sensors", daemon=True)
        self.thread.start()

    def wait(self, deadline_s: float) -> str | None:
        """Wait for the end; returns the path of the call that hangs if one does."""
        pause_s = deadline_s
        while not self._done.wait(pause_s):
            what, since_s = self._watch.what, self._watch.since_s
            took_s = time.monotonic() - since_s if what else 0.0
            if took_s >= deadline_s:
                self._watch.abandoned = True
                return what
            pause_s = deadline_s - took_s
        return None

    def result(self) -> T:
        """Return the result, or raise the error."""
        for error in self._errors:
            raise error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._work(self._watch))
        except _AbandonedError:
            return
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self._errors.append(error)
        self._done.set()
