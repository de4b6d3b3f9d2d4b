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
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.bundle import Bundle, BundleFile
from edgeconsole.bundle.manifest import MANIFEST_NAME
from edgeconsole.durable import sync_folder, write_durably
from edgeconsole.errors import BundleError, StoreError

_CHUNK: Final = 1 << 20
_STAGING: Final = "staging"


class ActiveModel(msgspec.Struct, frozen=True):
    """Which bundle answers to a model's name, and which did before."""

    active: str
    previous: str | None = None


class ModelStore:
    """A content-addressed store of bundles below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._objects = root / "objects"
        self._bundles = root / "bundles"
        self._staging = root / _STAGING
        self._active_file = root / "active.json"
        # Two bundles may share a file: they are taken in one after the other.
        self._changing = threading.Lock()
        try:
            # What was being taken in when the agent ended is not in the store: start over.
            shutil.rmtree(self._staging, ignore_errors=True)
            for folder in (self._objects, self._bundles, self._staging):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{root}: cannot keep models here: {error.strerror}") from error

    def add(self, path: Path) -> tuple[Bundle, bool]:
        """Take in a bundle from a folder, verified; returns it and whether it is new here.

        Raises:
            BundleError: the bundle is damaged.
            StoreError: the disk refused; the store is as before.
        """
        with self._changing:
            return self._add(path)

    def _add(self, path: Path) -> tuple[Bundle, bool]:
        source = Bundle.open(path)
        home = self._bundles / source.digest
        if home.is_dir():
            return Bundle.open(home), False
        staged = self._staging / source.digest
        try:
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(mode=0o700)
            for file in source.manifest.files:
                os.link(self._take_file(source.path / file.path, file), staged / file.path)
            manifest = (source.path / MANIFEST_NAME).read_bytes()
            if hashlib.sha256(manifest).hexdigest() != source.digest:
                raise BundleError(f"{path}: the manifest changed while it was read")
            write_durably(staged / MANIFEST_NAME, manifest, mode=0o600)
            staged.rename(home)
            sync_folder(self._bundles)
        except OSError as error:
            raise StoreError(
                f"{self._root}: cannot take in {source.manifest.key}: {error.strerror or error}"
            ) from error
        return Bundle.open(home), True

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
            return Bundle.open(self._bundles / digest)
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
        except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise StoreError(
                f"{self._active_file}: cannot be read: {error}",
                hint="remove it; the models of device.toml become active again",
            ) from error

    def set_active(self, model: str, digest: str) -> None:
        """Record durably that `digest` answers to `model`, and which one did before."""
        with self._changing:
            self._set_active(model, digest)

    def _set_active(self, model: str, digest: str) -> None:
        active = self.active()
        before = active.get(model)
        if before is not None and before.active == digest:
            return
        active[model] = ActiveModel(active=digest, previous=before.active if before else None)
        try:
            write_durably(self._active_file, msgspec.json.encode(active), mode=0o600)
        except OSError as error:
            raise StoreError(f"{self._active_file}: cannot be written: {error.strerror}") from error

    def _take_file(self, source: Path, file: BundleFile) -> Path:
        """Copy one file into `objects`, hashing what is written; returns its place there."""
        target = self._objects / file.sha256
        if target.exists() and target.stat().st_size == file.size:
            return target
        staged = self._staging / f"{file.sha256}.part"
        digest = hashlib.sha256()
        written = 0
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as reader, staged.open("wb") as writer:
            while chunk := reader.read(_CHUNK):
                written += len(chunk)
                if written > file.size:
                    break
                digest.update(chunk)
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        if written != file.size or digest.hexdigest() != file.sha256:
            staged.unlink()
            raise BundleError(
                f"{source}: its content is not what the manifest says "
                f"({written} bytes, sha256 {digest.hexdigest()[:12]}…; expected {file.size} bytes, "
                f"{file.sha256[:12]}…)",
                hint="copy the bundle again",
            )
        staged.chmod(0o400)
        staged.rename(target)
        sync_folder(self._objects)
        return target

    def _readable(self) -> Iterator[Bundle]:
        folders = [folder for folder in self._bundles.iterdir() if folder.is_dir()]
        for folder in sorted(folders, key=lambda each: each.stat().st_mtime_ns, reverse=True):
            try:
                yield Bundle.open(folder)
            except BundleError:
                continue
