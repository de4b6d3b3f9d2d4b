"""`Ledger`: what a job has built and found out, on disk, so that it goes on after an interruption.

One folder for each bundle, level and device class. Records are replaced durably, one file each; a
folder that is complete holds the report as well and is the cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import platformdirs

from edgeconsole.durable import write_durably
from edgeconsole.engines import PLAIN, Execution
from edgeconsole.errors import StoreError
from edgeconsole.paths import APP
from edgeconsole.protocol.optimization import OptimizationReport

REVISION: Final = 5
"""Raised when techniques or measuring change, so that older results are not believed."""
_REPORT: Final = "report.json"

_Record = TypeVar("_Record")


class Judgement(msgspec.Struct, frozen=True):
    """How well a built model answers."""

    metric_value: float | None = None
    drop: float | None = None
    drop_ci: tuple[float, float] | None = None
    agreement: float | None = None


class Timed(msgspec.Struct, frozen=True):
    """How fast a built model is, with so many threads."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    speedup: float | None = None
    ci: tuple[float, float] | None = None
    load_ms: float | None = None
    peak_rss_bytes: int | None = None
    failure: str = ""


class Built(msgspec.Struct, frozen=True):
    """A model file that was made, or why it could not be."""

    name: str
    technique: str
    model: str = ""
    """The file's name in the folder; empty if it failed."""
    source: str = ""
    """The bundle in the folder it belongs to; empty for the one that was given."""
    note: str = ""
    execution: Execution = PLAIN
    failure: str = ""
    for_want_of_time: bool = False
    """Whether more time might have built it; such a failure is not kept."""


class Ledger:
    """One job's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}") from error

    def built(self, name: str, make: Callable[[], Built]) -> Built:
        """Return the record of a built model, made now if there is none."""
        found = self.find(name)
        if found is not None:
            return found
        record = make()
        if not record.for_want_of_time:
            self._save(f"built-{name}.json", record)
        return record

    def find(self, name: str) -> Built | None:
        """Return the record of a built model, or of why it cannot be; `None` if it is to be tried."""
        found = self._load(f"built-{name}.json", Built)
        if found is not None and (not found.model or (self.folder / found.model).exists()):
            return found
        return None

    def judged(self, name: str, make: Callable[[], Judgement]) -> Judgement:
        """Return how well a model answers, found out now if that is not known."""
        found = self._load(f"judged-{name}.json", Judgement)
        if found is None:
            found = make()
            self._save(f"judged-{name}.json", found)
        return found

    def timed(self, name: str) -> Timed | None:
        """Return how fast a model is, if that is known."""
        return self._load(f"timed-{name}.json", Timed)

    def time(self, name: str, timed: Timed) -> None:
        """Keep how fast a model is."""
        self._save(f"timed-{name}.json", timed)

    def report(self) -> OptimizationReport | None:
        """Return the report of a job that came to its end."""
        return self._load(_REPORT, OptimizationReport)

    def finish(self, report: OptimizationReport) -> None:
        """Keep the report: the job has come to its end."""
        self._save(_REPORT, report)

    def forget(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _load(self, name: str, kind: type[_Record]) -> _Record | None:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=kind)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        except OSError as error:
            raise StoreError(f"{self.folder / name}: cannot be read: {error.strerror}") from error

    def _save(self, name: str, record: msgspec.Struct) -> None:
        try:
            write_durably(self.folder / name, msgspec.json.encode(record))
        except OSError as error:
            raise StoreError(
                f"{self.folder / name}: cannot be written: {error.strerror}",
                hint="free some space, or choose another folder with --cache",
            ) from error


def cache_path() -> Path:
    """Return the default folder (`$XDG_CACHE_HOME/edgeconsole/optimizer`)."""
    return platformdirs.user_cache_path(APP) / "optimizer"


def job_key(digest: str, fingerprint: str, *parts: object) -> str:
    """Return the name of a job's folder: the same only where its results hold."""
    told = [REVISION, digest, fingerprint, *map(str, parts)]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]


@contextlib.contextmanager
def one_at_a_time(cache: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Hold the device's measuring for this process; `waits` is called if another has it.

    Two jobs side by side would measure each other. Raises `StoreError` if the folder cannot be used.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(cache / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{cache}: cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
