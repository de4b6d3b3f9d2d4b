"""Writing a bundle: whole or not at all, and never over something else."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from edgeconsole.bundle import Bundle, swap, writer
from edgeconsole.errors import BundleError

Writer = Callable[..., Bundle]


def test_replaces_an_older_bundle(write: Writer, good: Bundle) -> None:
    """Writing again replaces the bundle, drops files it had before, and leaves no leftovers."""
    newer = write(onnx=b"new", calibration=None)
    newer.verify()
    assert newer.path == good.path
    assert newer.file_path("model.onnx").read_bytes() == b"new"
    assert not (good.path / "calibration.safetensors").exists()
    assert list(good.path.parent.iterdir()) == [good.path]


def test_accepts_an_empty_or_missing_folder(write: Writer, tmp_path: Path) -> None:
    """An empty folder is taken, and missing parents are made."""
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty").verify()
    write(tmp_path / "a" / "b" / "c").verify()


def test_keeps_a_linked_folder_linked(write: Writer, tmp_path: Path) -> None:
    """Writing through a symbolic link writes where it points; the link stays."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    Bundle.open(tmp_path / "real").verify()


def test_refuses_to_replace_something_else(write: Writer, tmp_path: Path) -> None:
    """A file, a folder of other things, and a bundle with a stray file in it are not touched."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    for name in ("file", "folder"):
        with pytest.raises(BundleError, match=r"is a file|is not replaced"):
            write(tmp_path / name)
    assert (tmp_path / "folder" / "notes.txt").read_text() == "mine"
    stray = write(tmp_path / "bundle").path / "notes.txt"
    stray.write_text("mine")
    with pytest.raises(BundleError, match="is not replaced"):
        write(tmp_path / "bundle")
    assert stray.read_text() == "mine"


def test_crash_while_writing_leaves_the_old_one(
    write: Writer, good: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk refuses at any sync, the old bundle is whole and nothing is left beside it."""
    syncs: list[int] = []

    def count(descriptor: int) -> None:
        syncs.append(descriptor)

    monkeypatch.setattr(os, "fsync", count)
    write()
    total = len(syncs)
    assert total >= 7  # every file, the new folder, its parent
    before = Bundle.open(good.path).digest
    for fatal in range(1, total):  # the last one comes after the swap

        def fail(descriptor: int, fatal: int = fatal) -> None:
            syncs.append(descriptor)
            if len(syncs) == fatal:
                raise OSError(28, "No space left on device")

        syncs.clear()
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(BundleError, match="No space left"):
            write(onnx=b"never seen")
        still = Bundle.open(good.path)
        still.verify()
        assert still.digest == before
        assert list(good.path.parent.iterdir()) == [good.path]


def test_swap_without_kernel_exchange(
    write: Writer, good: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where names cannot be exchanged, two renames do it; if the second fails the old is back."""
    monkeypatch.setattr(swap, "_exchange", lambda new, target: False)
    write(onnx=b"new").verify()
    assert list(good.path.parent.iterdir()) == [good.path]
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BundleError, match="Input/output error"):
        write(onnx=b"newer")
    assert Bundle.open(good.path).file_path("model.onnx").read_bytes() == b"new"
    assert list(good.path.parent.iterdir()) == [good.path]


def test_contents_must_agree_with_the_fields(write: Writer, tmp_path: Path) -> None:
    """Golden tensors of another shape are refused, and no folder appears."""
    with pytest.raises(BundleError, match=r"shape \[2, 4\]"):
        write(golden_inputs={"x": np.zeros((2, 4), "f4")})
    assert list(tmp_path.iterdir()) == []


def test_transposed_and_big_endian_arrays(write: Writer) -> None:
    """Views and foreign byte orders are stored by value."""
    rows = np.arange(6, dtype=">f4").reshape(3, 2).T
    assert write(golden_inputs={"x": rows}).golden()[0]["x"].tolist() == rows.tolist()


def test_unstorable_type(write: Writer) -> None:
    """A tensor type that requests cannot carry is refused by name."""
    with pytest.raises(BundleError, match=r"tensor 'inputs\.x'.*complex64"):
        write(golden_inputs={"x": np.zeros((2, 3), "c8")})


def test_says_who_and_when(good: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest names the program and a UTC time, also in a tree that is not installed."""
    assert good.manifest.producer.startswith("edgeconsole ")
    assert good.manifest.created.endswith("+00:00")

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(writer, "installed_version", missing)
    assert writer._this_program() == "edgeconsole"
