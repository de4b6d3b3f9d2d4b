"""`Bundle`: a bundle's folder, opened with suspicion and read with its hashes checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from edgeconsole.bundle.files import (
    COPY_AGAIN,
    check_hash,
    check_size,
    names_in,
    read_capped,
    read_listed,
)
from edgeconsole.bundle.manifest import (
    CALIBRATION,
    CODE_FILES,
    EVALUATION,
    GOLDEN,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    BundleFile,
    Manifest,
    decode_manifest,
)
from edgeconsole.bundle.tensorfile import (
    INPUTS,
    LABELS,
    OUTPUTS,
    decode_tensors,
    row_specs,
    take,
)
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

MAX_TENSOR_BYTES: Final = 1 << 30
"""The largest golden, calibration or evaluation file that is read into memory."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder, its manifest and the SHA-256 of the manifest as received."""

    path: Path
    manifest: Manifest
    digest: str
    files: tuple[BundleFile, ...]
    """The files that are here: all of the manifest, or what a device keeps of them."""

    @classmethod
    def open(cls, path: Path | str, *, on_device: bool = False) -> Self:
        """Open a bundle and check that its files are there with their sizes.

        A device's copy (`on_device`) lacks the files that run code when they are loaded. Raises `BundleError` for a missing folder or manifest, a malformed manifest, a linked,
        missing or cut file. Contents are checked by `verify` and by every method that reads them.
        """
        folder = Path(path)
        if MANIFEST_NAME not in names_in(folder):
            raise BundleError(
                f"{folder}: has no {MANIFEST_NAME}",
                hint="give the folder that `edgeconsole pack` wrote",
            )
        data = read_capped(folder / MANIFEST_NAME, MAX_MANIFEST_BYTES)
        manifest = decode_manifest(data, where=str(folder / MANIFEST_NAME))
        files = device_files(manifest) if on_device else manifest.files
        for entry in files:
            check_size(folder, entry)
        return cls(folder, manifest, hashlib.sha256(data).hexdigest(), files)

    def verify(self) -> None:
        """Hash every file again and look for files the manifest does not list.

        Raises `BundleError` that names the file, what was expected and what is there.
        """
        data = read_capped(self.path / MANIFEST_NAME, MAX_MANIFEST_BYTES)
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise BundleError(
                f"{self.path / MANIFEST_NAME}: changed since the bundle was opened",
                hint="open the bundle again",
            )
        for entry in self.files:
            check_hash(self.path, entry)
        listed = {MANIFEST_NAME, *(entry.path for entry in self.files)}
        extra = sorted(names_in(self.path) - listed)
        if extra:
            raise BundleError(
                f"{self.path}: holds {extra[0]!r}, which the manifest does not list",
                hint="remove it; a bundle holds only the files of its manifest",
            )

    def file_path(self, name: str) -> Path:
        """Return the path of a listed file; raises `BundleError` if the bundle has none."""
        if self.manifest.file(name) is None:
            raise BundleError(f"{self.path}: the bundle has no {name!r}")
        return self.path / name

    def golden(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the golden inputs and the outputs the model must give for them.

        Raises `BundleError` if the file is damaged or disagrees with the manifest.
        """
        tensors = self._tensors(GOLDEN)
        where = str(self.path / GOLDEN)
        _refuse_strangers(tensors, (INPUTS, OUTPUTS), where)
        inputs = take(tensors, INPUTS, self.manifest.inputs, where=where)
        outputs = take(tensors, OUTPUTS, self.manifest.outputs, where=where)
        return inputs, outputs

    def calibration(self) -> dict[str, Array] | None:
        """Return calibration inputs (shape `[rows, ...]`), or `None` if there are none.

        Raises `BundleError` if the file is damaged or disagrees with the manifest.
        """
        if self.manifest.file(CALIBRATION) is None:
            return None
        tensors = self._tensors(CALIBRATION)
        where = str(self.path / CALIBRATION)
        _refuse_strangers(tensors, (INPUTS,), where)
        return take(tensors, INPUTS, row_specs(self.manifest.inputs), where=where)

    def evaluation(self) -> tuple[dict[str, Array], Array] | None:
        """Return evaluation inputs (shape `[rows, ...]`) and labels, or `None` without them.

        Raises `BundleError` if the file is damaged or disagrees with the manifest.
        """
        if self.manifest.file(EVALUATION) is None:
            return None
        tensors = self._tensors(EVALUATION)
        where = str(self.path / EVALUATION)
        _refuse_strangers(tensors, (INPUTS, LABELS), where)
        inputs = take(tensors, INPUTS, row_specs(self.manifest.inputs), where=where)
        labels = tensors.get(LABELS)
        rows = next(iter(inputs.values())).shape[0]
        if labels is None or labels.shape[:1] != (rows,):
            raise BundleError(f"{where}: needs {LABELS!r} with {rows} rows", hint=COPY_AGAIN)
        return inputs, labels

    def _tensors(self, name: str) -> dict[str, Array]:
        entry = self.manifest.file(name)
        if entry is None:
            raise BundleError(f"{self.path}: the bundle has no {name!r}")
        if entry.size > MAX_TENSOR_BYTES:
            raise BundleError(f"{self.path / name}: is larger than {MAX_TENSOR_BYTES} bytes")
        return decode_tensors(read_listed(self.path, entry), where=str(self.path / name))


def device_files(manifest: Manifest) -> tuple[BundleFile, ...]:
    """Return the files a device keeps: those that are data."""
    return tuple(entry for entry in manifest.files if entry.path not in CODE_FILES)


def _refuse_strangers(tensors: dict[str, Array], known: tuple[str, ...], where: str) -> None:
    strange = sorted(name for name in tensors if not name.startswith(known))
    if strange:
        raise BundleError(f"{where}: holds a tensor {strange[0]!r} that a bundle does not have")
