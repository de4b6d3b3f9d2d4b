"""What a manifest says of the engine a variant was made for."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import decode_manifest
from edgeconsole.bundle.writer import write_variant
from edgeconsole.engines import PLAIN, Engine, Execution, Precision
from edgeconsole.errors import BundleError

Writer = Callable[..., Bundle]
OPENVINO = Execution(Engine.OPENVINO, Precision.BF16)
LITERT = Execution(Engine.LITERT, max_batch=1)


def derived(good: Bundle, execution: Execution) -> Bundle:
    """Write a variant of the toy bundle for an engine."""
    inputs, outputs = good.golden()
    return write_variant(
        good.path.parent / "variant",
        good,
        "other",
        model=b"bytes",
        golden_inputs=inputs,
        golden_outputs=outputs,
        execution=execution,
    )


def test_a_packed_model_says_nothing_of_engines(good: Bundle) -> None:
    """Agents that know no other engine read its manifest as before."""
    written = json.loads((good.path / "manifest.json").read_bytes())
    assert "runs_in" not in written
    assert good.manifest.execution == PLAIN
    assert good.manifest.model_file == "model.onnx"


@pytest.mark.parametrize(
    ("execution", "file"), [(OPENVINO, "model.onnx"), (LITERT, "model.tflite")]
)
def test_a_variant_keeps_its_engine(good: Bundle, execution: Execution, file: str) -> None:
    """Engine, precision and batch come back as they were written, with the engine's one file."""
    variant = derived(good, execution)
    variant.verify()
    found = Bundle.open(variant.path).manifest
    assert found.execution == execution
    assert found.model_file == file
    assert variant.file_path(file).read_bytes() == b"bytes"
    assert {each.path for each in found.files}.isdisjoint({"model.onnx", "model.tflite"} - {file})
    assert (found.inputs, found.outputs) == (good.manifest.inputs, good.manifest.outputs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs_in": {"engine": "tensorrt"}}, "tensorrt"),
        ({"runs_in": {"engine": "openvino", "precision": "int3"}}, "int3"),
        ({"runs_in": {"engine": "litert", "max_batch": 0}}, "max_batch"),
        ({"runs_in": {"engine": "openvino"}}, "'model.onnx' is missing"),
        ({"format": "onnx"}, "not what litert reads"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    good: Bundle, change: dict[str, object], words: str
) -> None:
    """An engine never gets a file that is not its own."""
    path = derived(good, LITERT).path / "manifest.json"
    document = json.loads(path.read_bytes()) | change
    with pytest.raises(BundleError, match=words):
        decode_manifest(json.dumps(document).encode(), where="m")


def test_a_second_engine_s_file_is_refused(good: Bundle) -> None:
    """What nobody measured or proved is not sent along."""
    document = json.loads((derived(good, LITERT).path / "manifest.json").read_bytes())
    document["files"] += json.loads((good.path / "manifest.json").read_bytes())["files"][:1]
    with pytest.raises(BundleError, match="for another engine"):
        decode_manifest(json.dumps(document).encode(), where="m")
