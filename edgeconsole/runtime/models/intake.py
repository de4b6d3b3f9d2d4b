"""Takes one bundle into the store, from a folder or from the wire, one file after the other.

Each file is hashed while it is written and becomes an object only if its content is what the
manifest says. Nothing is visible before `commit`, and then everything.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Final

from edgeconsole.bundle import Bundle, BundleFile
from edgeconsole.bundle.folder import device_files
from edgeconsole.bundle.manifest import MANIFEST_NAME, decode_manifest
from edgeconsole.durable import sync_folder, write_durably
from edgeconsole.errors import BundleError, StoreError

_HEADROOM: Final = 1.1
"""A bundle is refused unless the disk has this multiple of what is missing."""


class BundleIntake:
    """One bundle on its way into the store. Blocking."""

    def __init__(self, objects: Path, bundles: Path, staging: Path, manifest: bytes) -> None:
        self.digest = hashlib.sha256(manifest).hexdigest()
        self.manifest = decode_manifest(manifest, where="the offered manifest")
        self._manifest_bytes = manifest
        self._objects = objects
        self._home = bundles / self.digest
        self._staged = staging / self.digest
        self._file: BundleFile | None = None
        self._writer: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._written = 0
        self.is_open = True
        """Whether more may come of it: what it names must stay."""

    @property
    def is_stored(self) -> bool:
        """Say whether the store has the bundle already."""
        return self._home.is_dir()

    def wanted(self) -> tuple[BundleFile, ...]:
        """Return the files whose content the store lacks.

        Raises:
            StoreError: the disk has no room for them.
        """
        missing = tuple(
            entry
            for entry in device_files(self.manifest)
            if not _is_whole(self._objects / entry.sha256)
        )
        needed = int(sum(entry.size for entry in missing) * _HEADROOM)
        free = shutil.disk_usage(self._objects).free
        if needed > free:
            raise StoreError(
                f"{self.manifest.key} needs {needed >> 20} MiB, the disk has {free >> 20} MiB free",
                hint="unload and remove models, or free disk space",
            )
        return missing

    def begin(self, path: str) -> None:
        """Start one wanted file; raises `BundleError` if it is not one."""
        entry = next((each for each in device_files(self.manifest) if each.path == path), None)
        if entry is None or self._file is not None:
            raise BundleError(f"{path!r} is not a file that is due now")
        self._staged.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = entry
        self._writer = (self._staged / f"{entry.sha256}.part").open("wb")
        self._hash = hashlib.sha256()
        self._written = 0

    def write(self, chunk: bytes) -> None:
        """Take in a chunk of the file that was begun; raises `BundleError` beyond its size."""
        if self._file is None or self._writer is None:
            raise BundleError("there is no file these bytes belong to")
        self._written += len(chunk)
        if self._written > self._file.size:
            raise BundleError(f"{self._file.path!r} is longer than its {self._file.size} bytes")
        self._hash.update(chunk)
        self._writer.write(chunk)

    def end(self) -> None:
        """Make the file an object; raises `BundleError` if its content is not the manifest's."""
        if self._file is None or self._writer is None:
            raise BundleError("no file was begun")
        entry, writer = self._file, self._writer
        self._file = self._writer = None
        part = self._staged / f"{entry.sha256}.part"
        with writer:
            writer.flush()
            os.fsync(writer.fileno())
        digest = self._hash.hexdigest()
        if self._written != entry.size or digest != entry.sha256:
            part.unlink()
            raise BundleError(
                f"{entry.path}: its content is not what the manifest says ({self._written} bytes, "
                f"sha256 {digest[:12]}…; expected {entry.size} bytes, {entry.sha256[:12]}…)",
                hint="copy the bundle again, or pack the model again",
            )
        part.chmod(0o400)
        part.rename(self._objects / entry.sha256)
        sync_folder(self._objects)

    def commit(self) -> Bundle:
        """Make the bundle part of the store; raises `BundleError` if a file is still missing."""
        self._staged.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in device_files(self.manifest):
            source = self._objects / entry.sha256
            if not source.is_file():
                raise BundleError(f"{entry.path!r} has not arrived")
            os.link(source, self._staged / entry.path)
        write_durably(self._staged / MANIFEST_NAME, self._manifest_bytes, mode=0o600)
        self._staged.rename(self._home)
        sync_folder(self._home.parent)
        return Bundle.open(self._home, on_device=True)

    def abandon(self) -> None:
        """End, and remove what is unfinished; finished objects stay for the next try."""
        self.is_open = False
        if self._writer is not None:
            self._writer.close()
            self._file = self._writer = None
        shutil.rmtree(self._staged, ignore_errors=True)


def _is_whole(stored: Path) -> bool:
    """Say whether an object is there and its content is what its name says."""
    try:
        with stored.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == stored.name
    except FileNotFoundError:
        return False
