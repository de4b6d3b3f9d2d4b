"""One tiny load through the whole harness; no figure is judged."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from benchmarks.bench import Settings
from benchmarks.loads import LOADS
from benchmarks.models import open_model
from benchmarks.peers import all_peers
from benchmarks.report import to_json, to_markdown
from benchmarks.serving import measure
from benchmarks.systems import AGENT, ECHO
from edgeconsole.demo.data import bundle_path

TINY = Settings(rounds=2, seconds=0.1, large_seconds=0.1, warm_s=0.05, clients=(1, 2), settle_s=0.1)


def test_a_tiny_run_has_the_shape_that_readers_expect(tmp_path: Path) -> None:
    """All systems have a row for each setting, all rounds are there, and no process is left."""
    model = open_model(bundle_path("digits"))
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    # An interpreter without peers, whatever is installed here.
    peerless = tmp_path / "python"
    peerless.write_text("#!/bin/sh\nexit 1\n")
    peerless.chmod(0o755)
    report = measure(
        (model, model), tmp_path, TINY, loads=["closed", "memory"], peers_python=str(peerless)
    )
    decoded = json.loads(to_json(report))
    assert decoded["schema_version"] == 1
    assert decoded["machine"]["cores"] >= 1
    closed, memory = decoded["tables"]
    assert [closed["name"], memory["name"]] == ["closed", "memory"]
    for system in (ECHO, AGENT):
        rows = [row for row in closed["rows"] if row["system"] == system]
        assert [row["setting"]["clients"] for row in rows] == ["1", "2"], closed["rows"]
        for row in rows:
            assert not row["note"]
            assert {"rate", "p50", "p99"} <= set(row["metrics"])
            assert len(row["metrics"]["rate"]["rounds"]) == TINY.rounds
            assert row["metrics"]["p50"]["value"] > 0
    absent = {row["system"] for row in closed["rows"] if row["note"] == "not installed"}
    assert absent == {peer.name for peer in all_peers()}
    assert len([row for row in memory["rows"] if row["metrics"]]) == 2
    assert len(decoded["targets"]) == len(report.targets)
    assert AGENT in to_markdown(report)
    left = {child.pid for child in psutil.Process().children(recursive=True)} - before
    assert not left


def test_every_load_has_a_name_and_every_peer_its_file() -> None:
    """Loads and peers are found by their names on the command line and in tables."""
    assert list(LOADS) == ["closed", "overload", "urgent", "cache", "swap", "start", "memory"]
    assert [peer.name for peer in all_peers()] == ["litserve", "mosec"]
