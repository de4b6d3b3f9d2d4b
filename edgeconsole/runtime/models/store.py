"""The device's model store: files by content, bundles by digest, and which bundle is active.

    objects/<sha256>             one copy of each file, whatever bundles name it
    bundles/<digest>/            manifest.json and hard links to its files
    active.json                  per model: the digest that answers, and the one before it

Every step is durable before the next begins, so a crash leaves the old state or the new one.
Blocking: call it from a thread once the event loop runs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from edgeconsole.bundle import Bundle, Manifest
from edgeconsole.bundle.files import open_regular, read_capped
from edgeconsole.bundle.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, decode_manifest
from edgeconsole.durable import sync_folder, write_durably
from edgeconsole.errors import BundleError, StoreError
from edgeconsole.runtime.models.intake import BundleIntake

_CHUNK: Final = 1 << 20
_T = TypeVar("_T")


class ActiveModel(msgspec.Struct, frozen=True):
    """Which bundle answers to a model's name, and which did before."""

    active: str
    previous: str | None = None


class ModelStore:
    """A content-addressed store of bundles below one folder; one agent's at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._objects = root / "objects"
        self._bundles = root / "bundles"
        self._staging = root / "staging"
        self._active_file = root / "active.json"
        # Two bundles may share a file: they are taken in one after the other.
        self._changing = threading.Lock()
        self._beginning = threading.Lock()
        self._intakes: list[BundleIntake] = []
        try:
            # What was being taken in when the agent ended is not in the store: start over.
            shutil.rmtree(self._staging, ignore_errors=True)
            for folder in (self._objects, self._bundles, self._staging):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{root}: cannot keep models here: {error.strerror}") from error

    def add(self, path: Path, *, on_device: bool = False) -> tuple[Bundle, bool]:
        """Take in a bundle from a folder, verified; returns it and whether it is new here.

        With `on_device` the folder may lack what a device does not keep.

        Raises:
            BundleError: the bundle is damaged.
            StoreError: the disk refused; the store is as before.
        """
        source = Bundle.open(path, on_device=on_device)
        with self._changing:
            intake = self.intake((path / MANIFEST_NAME).read_bytes())
            try:
                if intake.digest != source.digest:
                    raise BundleError(f"{path}: the manifest changed while it was read")
                stored = self.sound(intake.digest)
                if stored is not None:
                    return stored, False
                return self.guarded(lambda: _copy(source.path, intake)), True
            finally:
                intake.abandon()

    def sound(self, digest: str) -> Bundle | None:
        """Return a stored bundle if every byte is as it should be; remove one that is not."""
        home = self._bundles / digest
        if not home.is_dir():
            return None
        try:
            bundle = Bundle.open(home, on_device=True)
            bundle.verify()
        except BundleError:
            shutil.rmtree(home)
            return None
        return bundle

    def put_first(self, digest: str) -> None:
        """Make a stored bundle the newest of its name; raises `StoreError`."""
        # Finer than what the kernel gives by itself, a tick that others may share.
        now_ns = time.time_ns()
        self.guarded(lambda: os.utime(self._bundles / digest, ns=(now_ns, now_ns)))

    def intake(self, manifest: bytes) -> BundleIntake:
        """Begin to take in a bundle; raises `BundleError` for a manifest that is not one."""
        intake = BundleIntake(self._objects, self._bundles, self._staging, manifest)
        with self._beginning:
            self._intakes = [each for each in self._intakes if each.is_open]
            self._intakes.append(intake)
        return intake

    def remove(self, digest: str) -> int:
        """Remove a bundle, and the objects that none names any more; returns the bytes of these.

        Whether it may go is for the caller to know. Raises `StoreError` if it is not here or the
        disk refuses; then it is here as a whole or not at all.
        """
        gone = self._staging / f"{digest}.gone"
        with self._changing:
            try:
                (self._bundles / digest).rename(gone)
                sync_folder(self._bundles)
                shutil.rmtree(gone)
                return self._sweep()
            except OSError as error:
                raise StoreError(
                    f"{self._bundles / digest}: cannot be removed: {error.strerror}"
                ) from error

    def _sweep(self) -> int:
        """Remove the objects that only have their own name; a bundle's are linked to."""
        with self._beginning:
            # What is arriving counts on what was here when it was offered.
            awaited = {
                entry.sha256
                for intake in self._intakes
                if intake.is_open
                for entry in intake.manifest.files
            }
            freed = 0
            for file in self._objects.iterdir():
                status = file.stat()
                if status.st_nlink == 1 and file.name not in awaited:
                    file.unlink()
                    freed += status.st_size
            sync_folder(self._objects)
            return freed

    def guarded(self, step: Callable[[], _T]) -> _T:
        """Run a step of an intake; what the disk refuses becomes a `StoreError`."""
        try:
            return step()
        except OSError as error:
            raise StoreError(
                f"{self._root}: cannot take in a bundle: {error.strerror or error}"
            ) from error

    def bundles(self) -> list[Bundle]:
        """Return all bundles that can be opened, newest first; damaged ones are left out."""
        return list(self._readable())

    def find(self, model: str, version: str = "", variant: str = "") -> Bundle | None:
        """Return the newest bundle of a model, or of exactly that version and variant."""
        for bundle in self._readable():
            manifest = bundle.manifest
            if (
                manifest.model == model
                and version in ("", manifest.version)
                and variant in ("", manifest.variant)
            ):
                return bundle
        return None

    def get(self, digest: str) -> Bundle | None:
        """Return one bundle, or `None` if it is not here or cannot be opened."""
        try:
            return Bundle.open(self._bundles / digest, on_device=True)
        except BundleError:
            return None

    def manifest(self, digest: str) -> Manifest | None:
        """Return a bundle's manifest, also where its other files are damaged."""
        file = self._bundles / digest / MANIFEST_NAME
        try:
            data = read_capped(file, MAX_MANIFEST_BYTES)
            if hashlib.sha256(data).hexdigest() != digest:
                return None
            return decode_manifest(data, where=str(file))
        except BundleError:
            return None

    def active(self) -> dict[str, ActiveModel]:
        """Return which bundle answers to each model name; empty if nothing was recorded.

        Raises:
            StoreError: the record is damaged.
        """
        try:
            return msgspec.json.decode(self._active_file.read_bytes(), type=dict[str, ActiveModel])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{self._active_file}: cannot be read: {error}",
                hint="remove it; the models of device.toml become active again",
            ) from error

    def set_active(self, model: str, digest: str) -> None:
        """Record durably that `digest` answers to `model`, and which one did before."""
        with self._changing:
            active = self.active()
            before = active.get(model)
            if before is not None and before.active == digest:
                return
            active[model] = ActiveModel(active=digest, previous=before.active if before else None)
            self._write_active(active)

    def forget_active(self, model: str) -> None:
        """Record durably that nothing answers to a model's name."""
        with self._changing:
            active = self.active()
            if active.pop(model, None) is not None:
                self._write_active(active)

    def _write_active(self, active: dict[str, ActiveModel]) -> None:
        try:
            write_durably(self._active_file, msgspec.json.encode(active), mode=0o600)
        except OSError as error:
            raise StoreError(f"{self._active_file}: cannot be written: {error.strerror}") from error

    def _readable(self) -> Iterator[Bundle]:
        folders = [folder for folder in self._bundles.iterdir() if folder.is_dir()]
        for folder in sorted(folders, key=lambda each: each.stat().st_mtime_ns, reverse=True):
            try:
                yield Bundle.open(folder, on_device=True)
            except BundleError:
                continue


def _copy(source: Path, intake: BundleIntake) -> Bundle:
    for entry in intake.wanted():
        intake.begin(entry.path)
        with open_regular(source / entry.path) as reader:
            while chunk := reader.read(_CHUNK):
                intake.write(chunk)
        intake.end()
    return intake.commit()
