"""`JobRecords`: jobs on disk, so that they outlive the agent's process.

    <job>/job.json      what was ordered and what became of it
    <job>/report.json   the report, once there is one
    <job>/out/          bundles on their way into the store

Blocking: call it from a thread once the event loop runs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.durable import write_durably
from edgeconsole.errors import StoreError
from edgeconsole.protocol.jobs import Job
from edgeconsole.protocol.optimization import OptimizationReport

_JOB: Final = "job.json"
_REPORT: Final = "report.json"
_OUT: Final = "out"


class JobRecord(msgspec.Struct, frozen=True):
    """A job as it is kept; `number` is its place in the order of all."""

    number: int
    job: Job


class JobRecords:
    """The records below one folder; one agent's at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self) -> tuple[list[JobRecord], list[str]]:
        """Return all records, oldest first, and the names of those that cannot be read.

        Raises `StoreError` if the folder cannot be used.
        """
        found: list[JobRecord] = []
        damaged: list[str] = []
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            folders = [each for each in self._root.iterdir() if each.is_dir()]
        except OSError as error:
            raise StoreError(f"{self._root}: cannot keep jobs: {error.strerror}") from error
        for folder in folders:
            try:
                record = msgspec.json.decode((folder / _JOB).read_bytes(), type=JobRecord)
            except (OSError, ValueError):
                damaged.append(folder.name)
                continue
            if record.job.job_id == folder.name:
                found.append(record)
            else:
                damaged.append(folder.name)
        return sorted(found, key=lambda each: each.number), damaged

    def save(self, record: JobRecord) -> None:
        """Write a record durably; raises `StoreError`, and then the one before stands."""
        self._write(self._root / record.job.job_id / _JOB, msgspec.json.encode(record))

    def save_report(self, job_id: str, report: OptimizationReport) -> None:
        """Write a job's report durably; raises `StoreError`."""
        self._write(self._root / job_id / _REPORT, msgspec.json.encode(report))

    def report(self, job_id: str) -> OptimizationReport | None:
        """Return a job's report if it has one that can be read."""
        try:
            data = (self._root / job_id / _REPORT).read_bytes()
            return msgspec.json.decode(data, type=OptimizationReport)
        except (OSError, ValueError):
            return None

    def out(self, job_id: str) -> Path:
        """Return the folder a job writes bundles to."""
        return self._root / job_id / _OUT

    def clear_out(self, job_id: str) -> None:
        """Remove the bundles a job wrote; what cannot be removed goes with the record."""
        shutil.rmtree(self.out(job_id), ignore_errors=True)

    def forget(self, job_id: str) -> None:
        """Remove a record and all that belongs to it, as far as the disk lets us."""
        shutil.rmtree(self._root / job_id, ignore_errors=True)

    def _write(self, file: Path, data: bytes) -> None:
        try:
            file.parent.mkdir(mode=0o700, exist_ok=True)
            write_durably(file, data, mode=0o600)
        except OSError as error:
            raise StoreError(
                f"{file}: cannot be written: {error.strerror}", hint="free some space"
            ) from error
