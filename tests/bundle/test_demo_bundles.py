"""The demo bundles that ship with the package do what the README says of them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from edgeconsole.bundle import Bundle
from edgeconsole.demo.data import BUNDLE_NAMES, bundle_path, load_heldout
from edgeconsole.errors import BundleError
from edgeconsole.packer.check import OnnxModel, check_golden


@pytest.mark.parametrize(("name", "floor"), [("digits", 0.98), ("digits-tiny", 0.93)])
def test_whole_and_accurate(name: str, floor: float) -> None:
    """Every hash matches, golden outputs are reproduced, accuracy on held-out images holds."""
    bundle = Bundle.open(bundle_path(name))
    bundle.verify()
    check_golden(bundle)
    assert bundle.manifest.key == f"{name}/1/fp32"
    assert bundle.manifest.labels == tuple("0123456789")
    assert bundle.manifest.is_batched
    images, labels = load_heldout()
    logits = OnnxModel(bundle.file_path("model.onnx")).run({"image": images})["logits"]
    assert float(np.mean(logits.argmax(axis=1) == labels)) >= floor


def test_held_out_images() -> None:
    """There are 599 images of 8x8 values from 0 to 1, every digit among their labels."""
    images, labels = load_heldout()
    assert images.shape == (599, 1, 8, 8)
    assert images.dtype == np.float32
    assert (float(images.min()), float(images.max())) == (0.0, 1.0)
    assert labels.dtype == np.int64
    assert np.bincount(labels, minlength=10).min() > 50


def test_bundles_share_data_and_hold_out_calibration() -> None:
    """Both models are judged on the same images, none of which is a calibration image."""
    first, second = (Bundle.open(bundle_path(name)) for name in BUNDLE_NAMES)
    assert first.manifest.file("evaluation.safetensors") == second.manifest.file(
        "evaluation.safetensors"
    )
    calibration = first.calibration()
    assert calibration is not None
    assert calibration["image"].shape == (128, 1, 8, 8)
    held = {image.tobytes() for image in load_heldout()[0]}
    assert not held & {image.tobytes() for image in calibration["image"]}


def test_unknown_bundle() -> None:
    """An unknown demo name is refused with the known ones."""
    with pytest.raises(BundleError, match="digits-tiny"):
        bundle_path("../digits")


def test_no_machine_paths_in_the_files() -> None:
    """No shipped file names a folder or a source file of the machine that built it."""
    for name in BUNDLE_NAMES:
        for file in bundle_path(name).iterdir():
            data = file.read_bytes()
            assert b"site-packages" not in data, file
            assert b'.py", line' not in data, file
            assert b"/home" not in data, file


def test_light_imports() -> None:
    """Reading bundles and importing the packer load neither torch nor onnx nor scikit-learn."""
    code = (
        "import sys, edgeconsole.bundle, edgeconsole.packing, edgeconsole.demo.data as d;"
        "import edgeconsole.commands.pack, edgeconsole.commands.bundle; d.load_heldout();"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
