"""The builder process: one request in, one result out, whatever happens; the original stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from edgeconsole.bundle import Bundle
from edgeconsole.demo.data import bundle_path
from edgeconsole.packer.check import OnnxModel, check_golden
from edgeconsole.packing import pack_model
from edgeconsole.runtime.optimizer.build_words import (
    BUILDER_MODULE,
    BuildProgress,
    BuildRequest,
    BuildResult,
    Scope,
    Start,
    Technique,
    decode_line,
)
from edgeconsole.runtime.optimizer.building import variant_name

DIGITS = bundle_path("digits")


def ask(request: bytes) -> tuple[list[BuildProgress], BuildResult]:
    """Run the builder on one line; it must exit with 0 and write one result, last."""
    done = subprocess.run(
        [sys.executable, "-m", BUILDER_MODULE, str(os.getpid())],
        check=False,
        input=request + b"\n",
        capture_output=True,
        timeout=55,
    )
    assert done.returncode == 0, done.stderr.decode()
    *told, last = [decode_line(line) for line in done.stdout.splitlines()]
    assert isinstance(last, BuildResult)
    assert all(isinstance(line, BuildProgress) for line in told)
    return told, last


def request(out: Path, **fields) -> bytes:
    """Encode a request about the demo's model."""
    given = {"bundle": str(DIGITS), "technique": "prune", "steps": 60, **fields}
    return msgspec.json.encode({"out": str(out), **given})


def digest(folder: Path) -> dict[str, str]:
    """Hash every file of a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_prunes_digits(tmp_path: Path) -> None:
    """A new bundle has the model's name, data and interface, and the original is untouched."""
    before = digest(DIGITS)
    told, last = ask(request(tmp_path / "small"))
    assert last.ok, last.reason
    assert digest(DIGITS) == before
    old, new = Bundle.open(DIGITS), Bundle.open(last.bundle)
    new.verify()
    check_golden(new)
    assert new.manifest.key == "digits/1/pruned50"
    for field in ("task", "metric", "labels", "inputs", "outputs", "static_answer"):
        assert getattr(new.manifest, field) == getattr(old.manifest, field)
    for name in ("calibration.safetensors", "evaluation.safetensors"):
        assert new.manifest.file(name) == old.manifest.file(name)
    assert new.manifest.file("model.onnx").size < 0.5 * old.manifest.file("model.onnx").size
    model = OnnxModel(new.file_path("model.onnx"))
    for rows in (1, 2, 3):
        assert model.run({"image": np.zeros((rows, 1, 8, 8), np.float32)})["logits"].shape == (
            rows,
            10,
        )
    assert [line.stage for line in told if line.stage != "train"] == [
        "load", "load", "prune", "prune", "pack", "pack",
    ]  # fmt: skip
    assert any(line.stage == "train" and line.loss is not None for line in told)
    assert "channels" in last.note


def test_distils_digits(tmp_path: Path) -> None:
    """The other technique answers in the same form."""
    _, last = ask(request(tmp_path / "student", technique="distil", share=0.3))
    assert last.ok, last.reason
    assert Bundle.open(last.bundle).manifest.variant == "distilled30"
    assert "student" in last.note


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b'{"bundle": "x", "out": "y"}', "technique"),
        (b'{"bundle": "x", "out": "y", "technique": "prune", "share": 1.5}', "share"),
        (b'{"bundle": "x", "out": "y", "technique": "distil", "size_bytes": 9}', "size"),
        (b'{"bundle": "/nowhere/at/all", "out": "/tmp/y", "technique": "prune"}', "does not exist"),
    ],
)
def test_bad_request(line: bytes, reason: str) -> None:
    """What cannot be done is said in the result."""
    told, last = ask(line)
    assert not last.ok
    assert reason in last.reason
    assert len(told) <= 1


@pytest.mark.parametrize(
    ("rows", "include_pt2", "reason"),
    [
        (60, False, "no model.pt2"),
        (None, True, "no calibration data"),
    ],
)
def test_incomplete_bundle(
    tmp_path: Path, rows: int | None, *, include_pt2: bool, reason: str
) -> None:
    """Without the program or without data there is nothing to start from."""
    data = None if rows is None else {"input": np.zeros((rows, 4), np.float32)}
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    pack_model(
        net, torch.ones(2, 4), tmp_path / "toy", name="toy", version=1, task="classification",
        calibration=data, include_pt2=include_pt2,
    )  # fmt: skip
    _, last = ask(request(tmp_path / "out", bundle=str(tmp_path / "toy")))
    assert not last.ok
    assert reason in last.reason
    assert not (tmp_path / "out").exists()


def test_time_limit(tmp_path: Path) -> None:
    """A build that takes too long ends by itself with that reason."""
    _, last = ask(request(tmp_path / "late", steps=10**6, time_limit_s=0.2))
    assert not last.ok
    assert "0.2 s" in last.reason
    assert not (tmp_path / "late").exists()


def test_never_over_the_original(tmp_path: Path) -> None:
    """The bundle that is read is not a place to write to."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in DIGITS.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    _, last = ask(request(copy, bundle=str(copy)))
    assert not last.ok
    assert "original" in last.reason
    assert digest(copy) == digest(DIGITS)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"technique": Technique.PRUNE, "share": 0.7}, "pruned70"),
        ({"technique": Technique.PRUNE, "scope": Scope.GLOBAL}, "pruned50-global"),
        ({"technique": Technique.PRUNE, "size_bytes": 2000}, "pruned-2k"),
        ({"technique": Technique.DISTIL, "share": 0.25}, "distilled25"),
        ({"technique": Technique.DISTIL, "start": Start.FRESH}, "distilled50-fresh"),
        ({"technique": Technique.DISTIL, "student": "small.pt2"}, "distilled"),
    ],
)
def test_variant_names(fields: dict, name: str) -> None:
    """A variant's name says how it was made, and what it was made from if that is a variant."""
    asked = BuildRequest(bundle="b", out="o", **fields)
    manifest = Bundle.open(DIGITS).manifest
    assert variant_name(manifest, asked) == name
    other = msgspec.structs.replace(manifest, variant="pruned30")
    assert variant_name(other, asked) == f"pruned30-{name}"


def test_words_need_no_torch() -> None:
    """Who talks to the builder, and the builder until it builds, imports neither torch nor onnx."""
    code = (
        f"import sys, {BUILDER_MODULE}, edgeconsole.runtime.optimizer.schedule;"
        "print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stdout == b"[]\n"
