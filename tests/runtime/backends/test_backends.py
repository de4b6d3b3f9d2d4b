"""Every engine behind the one interface: the same answers, and refusals that leave it usable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeconsole.bundle import Bundle
from edgeconsole.demo.data import bundle_path
from edgeconsole.engines import PLAIN, Engine, Execution, Precision, check_engine
from edgeconsole.errors import BackendError
from edgeconsole.runtime.backends.base import Backend
from edgeconsole.runtime.backends.opening import open_engine
from edgeconsole.runtime.optimizer.place import lower_precisions
from tests.models import sure_model
from tests.tflite_models import ABSOLUTE, SUBTRACT, tflite

OPENVINO = Execution(Engine.OPENVINO)
LITERT = Execution(Engine.LITERT, max_batch=1)
ABS = {
    "inputs": ["x"],
    "operators": [(ABSOLUTE, ["x"], "y")],
    "outputs": ["y"],
}


def opened(execution: Execution, folder: Path, threads: int = 1) -> Backend:
    """Return y = abs(x), x [-1, 4], in an engine; skips without it."""
    bundle = sure_model(folder / "sure")
    path = bundle.path / "model.onnx"
    if execution.engine is Engine.LITERT:
        path = folder / "model.tflite"
        path.write_bytes(tflite(**ABS))
    if execution.engine is Engine.OPENVINO:
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
    return open_engine(execution, path, bundle.manifest, threads=threads)


@pytest.fixture(params=[PLAIN, OPENVINO, LITERT], ids=lambda each: each.engine)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Return the model in each engine in turn."""
    return opened(request.param, tmp_path)


def test_any_number_of_rows_is_answered(backend: Backend) -> None:
    """Also where the file takes one: nobody gets fewer answers than they asked for."""
    for rows in (1, 3, 2, 5):
        x = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4) - 5
        x.setflags(write=False)
        [y] = backend.run([x])
        np.testing.assert_array_equal(y, np.abs(x))


def test_bound_arrays_are_read_and_written_with_every_call(backend: Backend) -> None:
    """A worker binds each shape once, and the memory under it changes."""
    x, y = np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32)
    other = np.full((1, 4), -7, np.float32), np.zeros((1, 4), np.float32)
    run, run_other = backend.bind([x], [y]), backend.bind([other[0]], [other[1]])
    for value in (-1.0, -2.0, -3.0):
        x[:] = value
        run()
        run_other()
        backend.run([np.zeros((3, 4), np.float32)])
        assert np.all(y == -value)
        assert np.all(other[1] == 7)


def test_inputs_may_lie_in_memory_that_cannot_be_written(backend: Backend) -> None:
    """Views of what others own are read-only."""
    x, y = np.full((1, 4), -1, np.float32), np.zeros((1, 4), np.float32)
    x.setflags(write=False)
    backend.bind([x], [y])()
    assert np.all(y == 1)


@pytest.mark.parametrize("wrong", [np.zeros((1, 3), np.float32), np.zeros((1, 4), np.float64)])
def test_a_wrong_input_is_refused_and_the_next_is_answered(
    backend: Backend, wrong: np.ndarray
) -> None:
    """The engine's own exceptions do not get out."""
    with pytest.raises(BackendError, match="the model"):
        backend.run([wrong])
    [y] = backend.run([np.full((1, 4), -1, np.float32)])
    assert np.all(y == 1)


@pytest.mark.parametrize("execution", [PLAIN, OPENVINO, LITERT], ids=lambda each: each.engine)
def test_what_is_no_model_is_refused(tmp_path: Path, execution: Execution) -> None:
    """A cut file names itself; so does one with other inputs."""
    backend = opened(execution, tmp_path)
    assert backend is not None
    bundle = Bundle.open(tmp_path / "sure")
    bad = tmp_path / f"bad{'.tflite' if execution is LITERT else '.onnx'}"
    bad.write_bytes(b"no model")
    with pytest.raises(BackendError, match=bad.name):
        open_engine(execution, bad, bundle.manifest, threads=1)
    good = tmp_path / "model.tflite" if execution is LITERT else bundle.path / "model.onnx"
    with pytest.raises(BackendError, match="not those of the manifest"):
        open_engine(execution, good, Bundle.open(bundle_path("digits")).manifest, threads=1)


def test_litert_matches_by_name(tmp_path: Path) -> None:
    """The file may have inputs and outputs in an order of its own."""
    manifest = sure_model(tmp_path / "sure").manifest
    x, y = manifest.inputs[0], manifest.outputs[0]
    import msgspec

    two = msgspec.structs.replace(
        manifest,
        inputs=tuple(msgspec.structs.replace(x, name=name) for name in ("a", "b")),
        outputs=tuple(msgspec.structs.replace(y, name=name) for name in ("less", "size")),
    )
    path = tmp_path / "two.tflite"
    operators = [(SUBTRACT, ["a", "b"], "less"), (ABSOLUTE, ["b"], "size")]
    path.write_bytes(tflite(["b", "a"], operators, ["size", "less"]))
    backend = open_engine(LITERT, path, two, threads=1)
    a, b = np.full((2, 4), 1, np.float32), np.full((2, 4), -2, np.float32)
    less, size = backend.run([a, b])
    assert np.all(less == 3)
    assert np.all(size == 2)


def test_litert_refuses_another_shape(tmp_path: Path) -> None:
    """A file for two rows would give one request another's answer."""
    manifest = sure_model(tmp_path / "sure").manifest
    path = tmp_path / "two.tflite"
    path.write_bytes(tflite(**ABS, shape=(2, 4)))
    with pytest.raises(BackendError, match=r"\[2, 4\], the manifest says FP32 \[-1, 4\]"):
        open_engine(LITERT, path, manifest, threads=1)


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16])
def test_a_lower_precision_is_what_it_says_or_refused(precision: Precision) -> None:
    """OpenVINO never quietly computes in another than was measured."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    bundle = Bundle.open(bundle_path("digits"))
    inputs, expected = bundle.golden()
    execution = Execution(Engine.OPENVINO, precision)
    path = bundle.path / "model.onnx"
    given = [inputs[spec.name] for spec in bundle.manifest.inputs]
    [exact] = open_engine(OPENVINO, path, bundle.manifest, threads=1).run(given)
    np.testing.assert_allclose(exact, expected["logits"], atol=1e-4)
    if precision not in lower_precisions():
        with pytest.raises(BackendError, match=f"cannot compute in {precision}"):
            open_engine(execution, path, bundle.manifest, threads=1)
        return
    [rounded] = open_engine(execution, path, bundle.manifest, threads=1).run(given)
    error = np.abs(rounded - exact).max() / np.abs(exact).max()
    assert 1e-5 < error < 2e-2


def test_openvino_tells_nobody_that_it_is_used() -> None:
    """Importing it the usual way reports that to Google Analytics; a worker imports no such thing."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    code = (
        "import sys; from edgeconsole.runtime.backends.openvino import import_openvino; "
        "import_openvino().Core(); "
        "print([name for name in sys.modules if 'telemetry' in name or 'ovc' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does one that the device's file leaves out, which is no reason to install it."""
    monkeypatch.setattr("edgeconsole.engines.installed_version", lambda _: "")
    with pytest.raises(BackendError, match=r"m/1/x needs litert.*edgeconsole\[litert\]"):
        check_engine(LITERT, "m/1/x")
    with pytest.raises(BackendError, match="supported_frameworks leave out"):
        check_engine(OPENVINO, "m/1/x", ["onnxruntime"])
