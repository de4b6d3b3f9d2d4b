"""What a job's process left is believed only as far as it can be checked."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

from edgeconsole.bundle import Bundle
from edgeconsole.errors import BundleError
from edgeconsole.protocol.optimization import (
    Constraints,
    MeasuredOn,
    Objective,
    OptimizationReport,
    Variant,
    VariantStatus,
)
from edgeconsole.runtime.jobs import cache
from edgeconsole.runtime.jobs.process import Ended
from edgeconsole.runtime.jobs.results import read_report, take_in
from edgeconsole.runtime.models.store import ModelStore
from edgeconsole.specs import ModelOptimizationLevel
from faults.models import save_bundle


def packed(path: Path, name: str = "sure", version: str = "1", op: str = "Abs") -> Bundle:
    """Write the bundle of a tiny model."""
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"])],
        "sure",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    save_bundle(graph, {"x": np.ones((2, 4), np.float32)}, path, name, version)
    return Bundle.open(path)


def row(name: str, digest: str, status: VariantStatus = VariantStatus.OK) -> Variant:
    """Return a report's row."""
    return Variant(
        name=name, technique="t", engine="e", threads=1, digest=digest, status=status, reason=""
    )


def report(*rows: Variant, recommended: str | None = None) -> OptimizationReport:
    """Return a report."""
    return OptimizationReport(
        model="sure",
        version="1",
        level=ModelOptimizationLevel.NONE,
        objective=Objective.P99,
        constraints=Constraints(),
        baseline=row("baseline", ""),
        variants=rows,
        recommended=recommended,
        why=(),
        device=MeasuredOn(fingerprint="f", cpu="c", cores=1, machine="m", engines={}),
        evaluation="none",
    )


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Return an empty store."""
    return ModelStore(tmp_path / "models")


@pytest.fixture
def source(tmp_path: Path, store: ModelStore) -> Bundle:
    """Return what is optimised, from the store."""
    return store.add(packed(tmp_path / "source").path)[0]


def test_what_fits_enters_the_store_and_nothing_else(tmp_path, store, source):
    """Bundles of excluded variants and half-written folders stay outside."""
    fits = packed(tmp_path / "out" / "small", version="2")
    large = packed(tmp_path / "out" / "large", version="3")
    (tmp_path / "out" / ".half").mkdir()
    found = report(
        row("small", fits.digest), row("large", large.digest, VariantStatus.EXCLUDED),
        recommended="small",
    )  # fmt: skip
    taken = take_in(store, tmp_path / "out", found, source)
    assert [each.digest for each in taken] == [fits.digest]
    assert {each.digest for each in store.bundles()} == {source.digest, fits.digest}


def test_the_recommended_one_is_the_newest_of_its_name(tmp_path, store, source):
    """Its name means it, also where it was stored before another of that name."""
    old = packed(tmp_path / "out" / "old", version="1")
    assert old.digest == source.digest
    later = packed(tmp_path / "later", version="2")
    store.add(later.path)
    assert store.find("sure").digest == later.digest
    take_in(store, tmp_path / "out", report(row("old", old.digest), recommended="old"), source)
    assert store.find("sure").digest == old.digest


def test_nothing_fits_and_nothing_is_written(tmp_path, store, source):
    """No folder, no bundles, no error."""
    assert take_in(store, tmp_path / "none", report(), source) == ()


@pytest.mark.parametrize("wrong", ["damaged", "missing", "nameless", "another's"])
def test_wrong_results_are_refused(tmp_path, store, source, wrong):
    """What is not as its manifest says, is of another model or is not there is an error."""
    name = "other" if wrong == "another's" else "sure"
    bundle = packed(tmp_path / "out" / "small", name, "2", "Sqrt")
    digest = bundle.digest
    if wrong == "damaged":
        file = bundle.file_path("model.onnx")
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    elif wrong == "missing":
        digest = "0" * 64
    elif wrong == "nameless":
        digest = ""
    with pytest.raises(BundleError):
        take_in(store, tmp_path / "out", report(row("small", digest), recommended="small"), source)
    assert [each.digest for each in store.bundles()] == [source.digest]


def ended(code: int, text: bytes = b"", words: str = "", killed_for: str = "") -> Ended:
    """Return how a process ended."""
    return Ended(code, text, words, killed_for)


GOOD = msgspec.json.encode(report())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (ended(0, b""), "without a report"),
        (ended(1, b"", "ValueError: x"), "without a report that can be read: ValueError: x"),
        (ended(0, GOOD[:-1]), "without a report"),
        (ended(0, b"\xff" + GOOD), "without a report"),
        (ended(0, b"[" * 100_000), "without a report"),
        (ended(2, GOOD, "edgeconsole-agent optimize: the disk is full"), "the disk is full"),
        (ended(2, GOOD), "exited with code 2"),
        (ended(130, GOOD, "cancelled"), "exited with code 130: cancelled"),
        (ended(-9, GOOD), "ended by SIGKILL"),
        (ended(-99, GOOD), "ended by signal 99"),
        (ended(0, GOOD, killed_for="cancelled by kim"), "cancelled by kim"),
    ],
)
def test_why_there_is_no_report(how, words):
    """Each end has a reason."""
    found = read_report(how, "sure")
    assert isinstance(found, str)
    assert words in found


@pytest.mark.parametrize("code", [0, 1])
def test_a_report_is_read(code):
    """Whether something fits is the report's to say."""
    assert read_report(ended(code, GOOD + b"\n"), "sure") == report()


def test_the_cache_does_not_grow_for_ever(tmp_path, monkeypatch):
    """The folders written to last are kept; the lock and a missing cache are no trouble."""
    monkeypatch.setattr(cache, "KEPT", 2)
    cache.prune(tmp_path / "none")
    (tmp_path / "lock").touch()
    for age, name in enumerate(("new", "old", "oldest")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    cache.prune(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"lock", "new", "old"}
