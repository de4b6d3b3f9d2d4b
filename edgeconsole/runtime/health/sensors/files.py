"""Small kernel files: read in one bounded piece, in folders of bounded length, with a back-off.

One `read` for an attribute, as node_exporter does: some hwmon drivers answer EAGAIN for ever to
readers that poll. Sources: the kernel's sysfs.rst; procfs files may need several reads.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
import time
from collections.abc import Callable
from typing import Final

from edgeconsole.runtime.health.sensors.guard import DEADLINE_S, Guard, ReadsHangError, T, Watch

ATTRIBUTE_BYTES: Final = 4096
"""The most that sysfs gives for one attribute."""
PROC_BYTES: Final = 64 * 1024
MAX_NAMES: Final = 512
"""Of a folder with more entries the rest is not looked at."""
_MAX_LINK_BYTES: Final = 512
_MOST_PARTS: Final = 64
_MAX_BACK_OFF_S: Final = 30.0
_MAX_FAILURES: Final = 1024
_DIGITS: Final = re.compile(r"(\d+)")
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class UnreadError(Exception):
    """A file could not be read; the message is the reason that is shown."""

    def __init__(self, reason: str, *, missing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.missing = missing
        """Whether it is simply not there."""


class BackOff:
    """Files that failed are asked again after 0.5, 2.5, 6.5 … and at most 30 s."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float, str]] = {}

    def holds(self, path: str) -> str | None:
        """Return the reason the path failed with, while it is not yet to be read again."""
        failure = self._failures.get(path)
        return failure[2] if failure and self._clock() < failure[1] else None

    def failed(self, path: str, reason: str) -> None:
        """Note a failure; if there are too many, the one that is remembered longest is dropped."""
        times = self._failures.pop(path, (0, 0.0, ""))[0] + 1
        pause_s = min(2.0 ** min(times, 10) - 1.5, _MAX_BACK_OFF_S)
        while len(self._failures) >= _MAX_FAILURES:
            del self._failures[next(iter(self._failures))]
        self._failures[path] = (times, self._clock() + pause_s, reason)

    def worked(self, path: str) -> None:
        """Forget a path's failures."""
        if self._failures:
            self._failures.pop(path, None)


class FileReader:
    """Reads files for rounds of work, each in a thread with a deadline for every single read."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, deadline_s: float = DEADLINE_S
    ) -> None:
        self._deadline_s = deadline_s
        self._guard = Guard(deadline_s)
        self._back_off = BackOff(clock)

    def round(self, work: Callable[[Files], T]) -> T:
        """Return what `work` returns; raises `UnreadError` if too many reads hang."""
        try:
            return self._guard.run(
                lambda watch: work(Files(watch, self._guard, self._back_off)), self._hung
            )
        except ReadsHangError as error:
            raise UnreadError(str(error)) from error

    def _hung(self, path: str) -> None:
        self._back_off.failed(path, f"did not come back in {self._deadline_s:g} s")


class Files:
    """The files as one round sees them."""

    def __init__(self, watch: Watch, guard: Guard, back_off: BackOff) -> None:
        self._watch = watch
        self._guard = guard
        self._back_off = back_off

    def read(self, path: str, limit: int = ATTRIBUTE_BYTES) -> bytes:
        """Return at most `limit` bytes of a regular file; raises `UnreadError`."""
        reason = self._back_off.holds(path)
        if reason is None and self._guard.hangs(path):
            reason = "a read in this folder does not come back"
        if reason is not None:
            raise UnreadError(reason)
        self._watch.enter(path)
        try:
            content = _read(path, limit)
        except (OSError, ValueError) as error:
            self._watch.leave()
            raise self._unread(path, error) from error
        self._watch.leave()
        self._back_off.worked(path)
        return content

    def call(self, what: str, question: Callable[[], T]) -> T:
        """Return the answer of a library or a tool under the same rules; raises `UnreadError`.

        `what` is like a path: what shares its first part is left alone while one of it hangs.
        """
        reason = self._back_off.holds(what)
        if reason is None and self._guard.hangs(what):
            reason = "an earlier question did not come back"
        if reason is not None:
            raise UnreadError(reason)
        self._watch.enter(what)
        try:
            return question()
        finally:
            self._watch.leave()

    def names(self, folder: str) -> list[str]:
        """Return what a folder holds, `hwmon2` before `hwmon10`; nothing if it cannot be listed."""
        if self._guard.hangs(folder):
            return []
        self._watch.enter(folder)
        try:
            with os.scandir(folder) as entries:
                found = [entry.name for entry in itertools.islice(entries, MAX_NAMES)]
        except (OSError, ValueError):
            found = []
        self._watch.leave()
        return sorted(found, key=_natural)

    def is_folder(self, path: str) -> bool:
        """Say whether a path is a folder, or a link to one."""
        return self._is(path, os.path.isdir)

    def is_file(self, path: str) -> bool:
        """Say whether a path is a regular file, or a link to one."""
        return self._is(path, os.path.isfile)

    def _is(self, path: str, test: Callable[[str], bool]) -> bool:
        """Ask the kernel; what hangs is neither."""
        if self._guard.hangs(path):
            return False
        self._watch.enter(path)
        found = test(path)
        self._watch.leave()
        return found

    def link(self, path: str) -> str:
        """Return where a link points, as a path, whether or not that exists; empty if it is none.

        Archives and version control turn a tree's links into files that hold their target.
        """
        if self._guard.hangs(path):
            return ""
        self._watch.enter(path)
        try:
            target = os.readlink(path)
        except (OSError, ValueError):
            target = ""
        self._watch.leave()
        if not target:
            try:
                target = self.read(path, _MAX_LINK_BYTES).decode(errors="replace").strip()
            except UnreadError:
                return ""
            if not target.startswith("../") or "\n" in target:
                return ""
        return os.path.normpath(os.path.join(os.path.dirname(path), target))

    def _unread(self, path: str, error: OSError | ValueError) -> UnreadError:
        number = error.errno if isinstance(error, OSError) else None
        if number in _GONE:
            return UnreadError("is not there", missing=True)
        reason = _REASONS.get(number or 0) or (
            error.strerror if isinstance(error, OSError) else None
        )
        self._back_off.failed(path, reason or str(error))
        return UnreadError(reason or str(error))


_REASONS: Final = {
    errno.EACCES: "permission denied: readable by root only",
    errno.EPERM: "permission denied: readable by root only",
    errno.EAGAIN: "the driver has no value now (EAGAIN)",
    errno.EINVAL: "the driver refuses to say (EINVAL)",
    errno.EISDIR: "is not a regular file",
    errno.ENODATA: "the driver has no value now (ENODATA)",
    errno.EIO: "the sensor does not answer (EIO)",
    errno.EOPNOTSUPP: "is turned off in this kernel",
}


def _read(path: str, limit: int) -> bytes:
    """Read a regular file; never waits for a pipe's other end."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EISDIR, "is not a regular file")
        content = os.read(file, limit)
        if limit <= ATTRIBUTE_BYTES:
            return content
        for _ in range(_MOST_PARTS):
            part = os.read(file, limit - len(content)) if content else b""
            if not part:
                break
            content += part
        return content
    finally:
        os.close(file)


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that takes digits as numbers."""
    parts = _DIGITS.split(name)
    return tuple(
        (1, int(part[:18]), part) if index % 2 else (0, 0, part) for index, part in enumerate(parts)
    )
