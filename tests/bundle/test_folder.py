"""Opening, verifying and reading a bundle's folder, honest or hostile."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MAX_MANIFEST_BYTES
from edgeconsole.bundle.tensorfile import encode_tensors
from edgeconsole.errors import BundleError


def edit(bundle: Bundle, change: Callable[[dict[str, object]], object]) -> Path:
    """Change the manifest on disk and return the folder."""
    file = bundle.path / "manifest.json"
    document = json.loads(file.read_bytes())
    change(document)
    file.write_text(json.dumps(document))
    return bundle.path


def refit(bundle: Bundle, name: str, data: bytes) -> Path:
    """Replace a file and make the manifest agree with it: only its meaning can be wrong now."""
    (bundle.path / name).write_bytes(data)

    def change(document: dict[str, object]) -> None:
        files = document["files"]
        assert isinstance(files, list)
        for entry in files:
            if entry["path"] == name:
                entry.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())

    return edit(bundle, change)


def test_opens_what_was_written(good: Bundle) -> None:
    """A written bundle opens with the same manifest and the digest of the bytes on disk."""
    opened = Bundle.open(str(good.path))
    opened.verify()
    assert opened == good
    assert opened.digest == hashlib.sha256((good.path / "manifest.json").read_bytes()).hexdigest()
    assert opened.manifest.key == "toy/1/fp32"
    assert opened.file_path("model.onnx").read_bytes() == b"onnx bytes"


def test_tensors_come_back(good: Bundle) -> None:
    """Golden, calibration and evaluation tensors come back with values, types and shapes."""
    inputs, outputs = good.golden()
    assert inputs["x"].dtype == np.float32
    assert inputs["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert outputs["y"].tolist() == [[0, 1], [3, 4]]
    calibration, evaluation = good.calibration(), good.evaluation()
    assert calibration is not None
    assert calibration["x"].shape == (4, 3)
    assert evaluation is not None
    assert evaluation[1].tolist() == [0, 1, 0, 1]


def test_absent_data_is_none(write: Callable[..., Bundle]) -> None:
    """A bundle without data sets says `None`, and names a file it does not have."""
    bundle = write(calibration=None, evaluation=None)
    assert bundle.calibration() is None
    assert bundle.evaluation() is None
    with pytest.raises(BundleError, match=r"has no 'model\.pt2'"):
        bundle.file_path("model.pt2")


def test_not_a_bundle(tmp_path: Path) -> None:
    """A missing folder, a file and an empty folder are refused with what to do."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("none", "does not exist"),
        ("file", "is not a folder"),
        ("empty", r"has no manifest\.json"),
    ):
        with pytest.raises(BundleError, match=words) as caught:
            Bundle.open(tmp_path / name)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(extra=1), "unknown field `extra`"),
        (lambda d: d.update(model="../../etc"), "model name"),
        (lambda d: d.update(model="Digits"), "model name"),
        (lambda d: d.update(version=""), "version"),
        (lambda d: d.update(schema="edgeconsole.bundle/2"), "schema"),
        (lambda d: d.update(format="pickle"), "format"),
        (lambda d: d.update(task="magic"), "task"),
        (lambda d: d.update(contains_code=True), "contains_code"),
        (lambda d: d.update(inputs=[]), "input names"),
        (lambda d: d["inputs"].append(d["inputs"][0]), "input names"),
        (lambda d: d["inputs"][0].update(shape=[-2]), "below -1"),
        (lambda d: d["inputs"][0].update(datatype="BYTES"), "datatype"),
        (lambda d: d["files"][0].update(path="../model.onnx"), "not one a bundle may have"),
        (lambda d: d["files"][0].update(path="/etc/passwd"), "not one a bundle may have"),
        (lambda d: d["files"].append(d["files"][0]), "listed twice"),
        (lambda d: d["files"].pop(0), "is missing from the list"),
        (lambda d: d["files"][0].update(sha256="0" * 63), "SHA-256"),
        (lambda d: d["files"][0].update(size=-1), "size"),
        (lambda d: d["files"][0].update(size=1 << 60), "the manifest says 1152921504606846976"),
        (lambda d: d.pop("files"), "files"),
    ],
)
def test_hostile_manifest(good: Bundle, change: Callable[..., object], words: str) -> None:
    """A manifest that breaks a rule is refused at open, and the message names the rule."""
    path = edit(good, change)
    with pytest.raises(BundleError, match=words):
        Bundle.open(path)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_unreadable_manifest(good: Bundle, data: bytes) -> None:
    """Bytes that are no manifest are a `BundleError` with the file's name, never a crash."""
    (good.path / "manifest.json").write_bytes(data)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(good.path)


def test_huge_manifest(good: Bundle) -> None:
    """A manifest above the cap is refused before it is parsed."""
    (good.path / "manifest.json").write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(BundleError, match="larger than"):
        Bundle.open(good.path)


def test_missing_and_cut_files(good: Bundle) -> None:
    """A file that is cut or missing is refused at open, with both sizes or its name."""
    model = good.path / "model.onnx"
    model.write_bytes(b"onnx")
    with pytest.raises(BundleError, match="is 4 bytes, the manifest says 10"):
        Bundle.open(good.path)
    with pytest.raises(BundleError, match="is 4 bytes, the manifest says 10"):
        good.verify()
    model.unlink()
    with pytest.raises(BundleError, match=r"model\.onnx: is missing"):
        Bundle.open(good.path)


def test_wrong_hash(good: Bundle) -> None:
    """A flipped byte is found by verify, with what was expected and what is there."""
    (good.path / "model.onnx").write_bytes(b"onnx bytez")
    opened = Bundle.open(good.path)
    got = hashlib.sha256(b"onnx bytez").hexdigest()
    with pytest.raises(BundleError, match=rf"model\.onnx: SHA-256 is {got}, the manifest says"):
        opened.verify()


def test_grown_file_is_not_read_to_its_end(good: Bundle) -> None:
    """Verify stops at the size listed: a file that grew to a terabyte is refused at once."""
    with (good.path / "model.onnx").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="is 1099511627776 bytes, the manifest says 10"):
        good.verify()


def test_read_checks_the_hash(good: Bundle) -> None:
    """Tensors are only given out if their file still has its hash."""
    file = good.path / "golden.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match="SHA-256"):
        good.golden()


def test_links_and_devices(good: Bundle, tmp_path: Path) -> None:
    """A file that is a symbolic link, a folder or a pipe is refused, even with right contents."""
    model = good.path / "model.onnx"
    model.rename(tmp_path / "elsewhere")
    model.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="symbolic link"):
        Bundle.open(good.path)
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(BundleError, match="not a plain file"):
        Bundle.open(good.path)
    model.unlink()
    model.mkdir()
    with pytest.raises(BundleError, match="not a plain file"):
        Bundle.open(good.path)


def test_linked_manifest(good: Bundle, tmp_path: Path) -> None:
    """A linked manifest is refused too."""
    manifest = good.path / "manifest.json"
    manifest.rename(tmp_path / "elsewhere.json")
    manifest.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match="symbolic link"):
        Bundle.open(good.path)


@pytest.mark.parametrize("name", ["model.pt2", ".hidden", "notes.txt"])
def test_unlisted_file(good: Bundle, name: str) -> None:
    """Verify complains of a file that the manifest does not list, and names it."""
    (good.path / name).write_bytes(b"")
    opened = Bundle.open(good.path)
    with pytest.raises(BundleError, match=name):
        opened.verify()


def test_manifest_swapped_after_open(good: Bundle) -> None:
    """Verify notices a manifest that changed since the bundle was opened."""
    edit(good, lambda document: document.update(version="2"))
    with pytest.raises(BundleError, match="changed since the bundle was opened"):
        good.verify()


F4 = np.zeros((2, 3), "f4")
Y = np.zeros((2, 2), "f4")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"inputs.x": F4}, r"outputs\.\* \[\]"),
        ({"inputs.z": F4, "outputs.y": Y}, r"inputs\.\* \['z'\]"),
        ({"inputs.x": F4.astype("f8"), "outputs.y": Y}, "is float64, the manifest says FP32"),
        ({"inputs.x": F4[:, :2], "outputs.y": Y}, r"shape \[2, 2\], the manifest says \[-1, 3\]"),
        ({"inputs.x": F4, "outputs.y": Y, "evil": Y}, "'evil'"),
    ],
)
def test_golden_against_manifest(good: Bundle, tensors: dict[str, np.ndarray], words: str) -> None:
    """Golden tensors that are missing, strange or of another type or shape are refused."""
    bundle = Bundle.open(refit(good, "golden.safetensors", encode_tensors(tensors)))
    with pytest.raises(BundleError, match=words):
        bundle.golden()


def test_damaged_tensor_files(good: Bundle) -> None:
    """A tensor file that is not safetensors is a `BundleError` although its hash is right."""
    bundle = Bundle.open(refit(good, "golden.safetensors", b"\xff" * 64))
    with pytest.raises(BundleError, match="not a readable safetensors file"):
        bundle.golden()


def test_unknown_tensor_type(good: Bundle) -> None:
    """A type without a numpy counterpart (8-bit floats) is refused, not a crash."""
    header = b'{"inputs.x":{"dtype":"F8_E4M3","shape":[1,3],"data_offsets":[0,3]}}'
    data = len(header).to_bytes(8, "little") + header + b"\0\0\0"
    bundle = Bundle.open(refit(good, "golden.safetensors", data))
    with pytest.raises(BundleError):
        bundle.golden()


def test_evaluation_needs_matching_labels(good: Bundle) -> None:
    """Evaluation data without labels, or with another number of them, are refused."""
    for tensors in ({"inputs.x": F4}, {"inputs.x": F4, "labels": np.zeros(3, "i8")}):
        data = encode_tensors(tensors)
        bundle = Bundle.open(refit(good, "evaluation.safetensors", data))
        with pytest.raises(BundleError, match="needs 'labels' with 2 rows"):
            bundle.evaluation()
