"""`edgeconsole-agent optimize` as a person runs it: a real bundle, real processes, its own report."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeconsole import demo
from edgeconsole.bundle import Bundle, Task
from edgeconsole.bundle.writer import Contents, write_bundle
from edgeconsole.packer.check import check_golden
from edgeconsole.protocol.tensors import Datatype, TensorSpec

DIGITS = Path(demo.__file__).parent / "bundles" / "digits"
ROW = {
    "name", "technique", "engine", "threads", "p50_ms", "p95_ms", "p99_ms", "ci", "speedup",
    "size_bytes", "peak_rss_bytes", "load_ms", "metric", "metric_value", "drop", "drop_ci",
    "agreement", "pareto", "status", "reason",
}  # fmt: skip

pytestmark = pytest.mark.timeout(240)


def command(bundle: Path, cache: Path, *words: str) -> list[str]:
    """Return the command line."""
    return [
        sys.executable, "-m", "edgeconsole.runtime.cli", "optimize", str(bundle),
        "--cache", str(cache), *words,
    ]  # fmt: skip


def optimize(bundle: Path, cache: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """Run it and return its report; the exit code must be `code`."""
    done = subprocess.run(
        command(bundle, cache, "--json", *words), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the tests of this file share: most of them ask for what is known."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def report(cache: Path) -> dict[str, Any]:
    """Return the report of a first quantisation."""
    return optimize(DIGITS, cache, "--level", "quantization", "--budget", "60s")


def test_the_report_has_all_that_was_promised(report: dict[str, Any]) -> None:
    """Baseline, rows and device in the documented form; the baseline is torch's eager float model."""
    assert report["cache"] == "miss"
    assert report["baseline"]["engine"] == "torch"
    assert report["baseline"]["metric_value"] == pytest.approx(
        report["variants"][0]["metric_value"], abs=0.01
    )
    assert report["evaluation"].startswith("accuracy on evaluation data")
    for row in (report["baseline"], *report["variants"]):
        assert set(row) >= ROW
    names = {row["name"] for row in report["variants"]}
    assert names >= {"fp32", "int8-minmax", "int8-entropy", "int8-percentile", "int8-products"}
    assert report["device"]["engines"]["onnxruntime"]


def test_the_recommended_variant_keeps_to_the_constraints(report: dict[str, Any]) -> None:
    """It is measured, on the front, loses at most a point, and is faster than eager torch."""
    rows = {row["name"]: row for row in report["variants"]}
    pick = rows[report["recommended"]]
    assert (pick["status"], pick["pareto"]) == ("ok", True)
    assert pick["drop"] <= 1.0
    assert pick["speedup"] > 1.5
    assert pick["ci"][0] <= pick["speedup"] <= pick["ci"][1]
    assert report["why"]
    for row in report["variants"]:
        assert row["status"] == "ok" or row["reason"], row
        if row["drop"] is not None and row["drop"] > 1.0:
            assert row["status"] == "excluded"


def test_what_is_known_is_not_measured_again(
    report: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """The second answer comes from the cache, and writes bundles that verify and serve."""
    again = optimize(DIGITS, cache, "--level", "quantization", "--out", str(tmp_path / "out"))
    assert again["cache"] == "hit"
    assert again["took_s"] < report["took_s"] / 2
    assert again["recommended"] == report["recommended"]
    fits = {row["name"] for row in again["variants"] if row["status"] == "ok"}
    written = {path.name for path in (tmp_path / "out").iterdir()} - {"report.json"}
    assert written == fits
    for name in sorted(fits):
        bundle = Bundle.open(tmp_path / "out" / name)
        bundle.verify()
        check_golden(bundle)
        assert bundle.manifest.variant == name
        assert bundle.manifest.model == "digits"


def test_another_objective_or_bound_chooses_again_from_the_same_numbers(
    report: dict[str, Any], cache: Path
) -> None:
    """The smallest that fits is picked for size; what nothing can keep to picks nothing, and says so."""
    smallest = optimize(DIGITS, cache, "--level", "quantization", "--objective", "size")
    sizes = {
        row["name"]: row["size_bytes"] for row in smallest["variants"] if row["status"] == "ok"
    }
    assert sizes[smallest["recommended"]] <= min(sizes.values()) * 1.02
    none = optimize(DIGITS, cache, "--level", "quantization", "--max-size-mb", "0.001", code=1)
    assert none["recommended"] is None
    assert none["why"]
    assert {row["status"] for row in none["variants"]} <= {"excluded", "failed", "skipped"}
    assert report["recommended"] is not None


def test_a_damaged_cache_is_measured_again(
    report: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """A recommended model that changed on disk is never handed out."""
    own = tmp_path / "cache"
    shutil.copytree(cache, own)
    model = next(own.glob(f"*/bundles/{report['recommended']}/model.onnx"))
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 0xFF
    model.write_bytes(data)
    again = optimize(DIGITS, own, "--level", "quantization", "--budget", "60s")
    assert again["cache"] == "miss"


def test_without_data_float_and_dynamic_are_what_is_left(tmp_path: Path) -> None:
    """No calibration or evaluation data, no torch: said row by row, judged by agreement."""
    source = Bundle.open(DIGITS)
    golden_inputs, golden_outputs = source.golden()
    manifest = source.manifest
    bundle = write_bundle(
        tmp_path / "bare",
        Contents((DIGITS / "model.onnx").read_bytes(), golden_inputs, golden_outputs),
        model="bare",
        version="1",
        task=manifest.task,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
    )
    found = optimize(bundle.path, tmp_path / "cache", "--budget", "30s", "--no-torch")
    assert found["baseline"]["engine"] == "onnxruntime"
    assert found["evaluation"].startswith("agreement with the original on golden data")
    rows = {row["name"]: row for row in found["variants"]}
    assert rows["int8-minmax"]["status"] == "skipped"
    assert "calibration" in rows["int8-minmax"]["reason"]
    assert rows["pruned50"]["status"] == "skipped"
    assert rows["int8-dynamic"]["metric"] == "agreement"
    assert rows["fp32"]["drop"] == pytest.approx(0.0)


def embedding_bundle(folder: Path) -> Path:
    """Write a bundle of a small encoder: rows of unit length, calibration data, no labels."""
    draw = np.random.default_rng(3)
    sizes = (16, 32, 24)
    weights = [
        numpy_helper.from_array(
            (draw.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32), f"w{number}"
        )
        for number, shape in enumerate(itertools.pairwise(sizes))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["c"]),
        helper.make_node("LpNormalization", ["c"], ["y"], axis=1, p=2),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", sizes[0]), ("y", sizes[-1]))
    )
    model = helper.make_model(
        helper.make_graph(nodes, "encoder", [x], [y], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    rows = draw.normal(size=(300, sizes[0])).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (golden,) = session.run(None, {"x": rows[:4]})
    return write_bundle(
        folder,
        Contents(
            model.SerializeToString(), {"x": rows[:4]}, {"y": golden}, calibration={"x": rows}
        ),
        model="encoder",
        version="1",
        task=Task.CUSTOM,
        inputs=(TensorSpec("x", Datatype.FP32, (-1, sizes[0])),),
        outputs=(TensorSpec("y", Datatype.FP32, (-1, sizes[-1])),),
    ).path


def test_an_encoder_without_labels_is_judged_by_its_values(tmp_path: Path) -> None:
    """Each row says so; int8 is as far off as its values are, however often the largest is the same."""
    bundle = embedding_bundle(tmp_path / "encoder")
    words = ("--no-torch", "--level", "quantization", "--budget", "40s", "--max-drop", "30")
    found = optimize(bundle, tmp_path / "cache", *words)
    assert found["evaluation"] == "closeness to the original on calibration data, 300 rows"
    rows = {row["name"]: row for row in found["variants"] if row["drop"] is not None}
    assert {row["metric"] for row in rows.values()} == {"closeness"}
    assert rows["fp32"]["drop"] == pytest.approx(0.0, abs=1e-3)
    assert 0.3 < rows["int8-minmax"]["drop"] < 30.0
    assert rows["int8-minmax"]["reason"].startswith("judged by closeness to the original's values")


def test_a_plan_builds_nothing(tmp_path: Path) -> None:
    """It names what would be tried; no job folder holds anything."""
    done = subprocess.run(
        command(DIGITS, tmp_path / "cache", "--plan"), capture_output=True, text=True, check=True
    )
    assert "int8-percentile" in done.stdout
    assert "pruned50-int8-minmax" in done.stdout
    assert not list((tmp_path / "cache").glob("*/built-*"))


def test_a_cancelled_job_ends_at_once_and_goes_on_later(tmp_path: Path) -> None:
    """SIGTERM ends it and all its processes within two seconds; what was built is not built again."""
    cache = tmp_path / "cache"
    with subprocess.Popen(
        command(DIGITS, cache, "--json", "--progress", "--level", "quantization", "--no-torch"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as job:
        assert job.stderr is not None
        for line in job.stderr:
            if json.loads(line)["stage"] == "time":
                break
        children = psutil.Process(job.pid).children(recursive=True)
        assert children
        asked_s = time.monotonic()
        job.send_signal(signal.SIGTERM)
        job.communicate(timeout=20)
        assert time.monotonic() - asked_s < 2.0
        assert job.returncode == 130
    gone, alive = psutil.wait_procs(children, timeout=2)
    assert not alive, gone
    built = {path.name: path.stat().st_mtime_ns for path in cache.glob("*/built-*.json")}
    assert built
    found = optimize(DIGITS, cache, "--level", "quantization", "--no-torch")
    assert found["recommended"]
    assert (
        built.items()
        <= {path.name: path.stat().st_mtime_ns for path in cache.glob("*/built-*.json")}.items()
    )


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--budget", "soon"], "is not a time"),
        (["--out", "/proc/none"], "cannot be made"),
        (["--budget", "5s"], "not between 10s and 24h"),
        (["--max-drop", "-1"], "--max-drop"),
        (["--max-p99-ms", "nan"], "--max-p99-ms"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, words: list[str], what: str) -> None:
    """Exit code 2, the reason and no stack trace."""
    done = subprocess.run(
        command(DIGITS, tmp_path / "cache", *words), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    none = subprocess.run(
        command(tmp_path / "none", tmp_path / "cache"), capture_output=True, text=True, check=False
    )
    assert none.returncode == 2
    assert "does not exist" in none.stderr
    assert os.sep in none.stderr
