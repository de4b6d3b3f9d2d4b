"""Captures of real machines that lie beside the project, read in place, against their manifest."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgeconsole.protocol.sensors import SensorKind, SensorReport
from edgeconsole.runtime.health.cli import take_report
from edgeconsole.runtime.health.sensors.lane import file_lane
from tests.runtime.health.capture_checks import Checks

PLACE = Path(__file__).parents[3].parent / "shared" / "fixtures" / "sysfs"
FOLDER = Path(os.environ.get("EDGECONSOLE_SYSFS_CAPTURES", PLACE))
MANIFEST: dict[str, dict[str, Any]] = (
    json.loads((FOLDER / "MANIFEST.json").read_text())
    if (FOLDER / "MANIFEST.json").is_file()
    else {}
)
pytestmark = pytest.mark.skipif(
    not MANIFEST,
    reason=f"no captures at {FOLDER} ($EDGECONSOLE_SYSFS_CAPTURES names another place)",
)


def report_of(case: str) -> SensorReport:
    """Read a capture in place."""
    roots = [FOLDER / "cases" / case / name for name in ("sys", "proc")]
    return take_report(*(root if root.is_dir() else None for root in roots))


@pytest.mark.parametrize("case", sorted(MANIFEST))
def test_a_capture_gives_the_readings_of_its_manifest(case: str) -> None:
    """Every fact the manifest states holds; a word this test does not know fails it."""
    expect = dict(MANIFEST[case]["expect"])
    if "step01" in expect:
        pytest.skip("three readings of one file: has a test of its own")
    if isinstance(expect.get("limits"), str):
        expect["limits_text"] = expect.pop("limits")
    checks = Checks(report_of(case))
    wrong: list[str] = []
    for word, wanted in expect.items():
        check = getattr(checks, word)
        wrong += check(wanted=wanted) if word == "must_be_unknown" else check(wanted)
    assert wrong == []


@pytest.mark.parametrize("case", ["kepler-rapl-duplicate"])
def test_what_shows_twice_counts_once_in_the_total(case: str, tmp_path: Path) -> None:
    """With a second capture 30 J later, the total is the manifest's domains, each once."""
    after = tmp_path / "sys"
    shutil.copytree(FOLDER / "cases" / case / "sys", after, copy_function=shutil.copyfile)
    for file in after.glob("class/powercap/*/energy_uj"):
        file.write_text(str(int(file.read_text()) + 30_000_000))
    report = take_report(FOLDER / "cases" / case / "sys", None, after, interval_s=2.0)
    total = report.find(SensorKind.POWER, report.control.power)
    assert total is not None
    assert total.source.split(" + ") == MANIFEST[case]["expect"]["total_domains"]
    assert report.totals.power_w == pytest.approx(30.0)


def test_times_that_go_down_are_no_usage(tmp_path: Path) -> None:
    """Between the first two captures of /proc/stat nothing is known; between the next two it is."""
    case = "telegraf-cpu-times-decrease"
    if case not in MANIFEST:
        pytest.skip(f"{case} is not among the captures")
    expect = MANIFEST[case]["expect"]
    lane = file_lane(tmp_path, tmp_path)
    found = []
    for number in range(3):
        shutil.copyfile(FOLDER / "cases" / case / "proc" / f"stat.{number}", tmp_path / "stat")
        lane.collect()
        cpu = [each for each in lane.readings if each.kind is SensorKind.CPU]
        found.append({each.name: each.value for each in cpu})
    assert found[0] == found[1] == {"busy": None}
    for name, share in expect["step12_pct"].items():
        assert found[2][name] == pytest.approx(share)
