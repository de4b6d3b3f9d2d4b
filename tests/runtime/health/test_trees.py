"""Every trap that is known of: the project's own trees, each with the readings that must come of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgeconsole.protocol.sensors import SensorReading, SensorReport
from edgeconsole.runtime.health.cli import take_report
from edgeconsole.specs import HealthConfig
from tests.runtime.health.trees import fail_reads, unpack

FOLDER = Path(__file__).parents[2] / "fixtures" / "sysfs"
CASES = sorted(path.parent.name for path in FOLDER.glob("*/expect.json"))
KEYS = {"why", "readings", "control", "totals", "interval_s", "health"}


@pytest.mark.parametrize("case", CASES)
def test_a_tree_gives_the_readings_that_are_expected(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every kind that `expect.json` names, there are exactly its readings; controls and totals are its."""
    expect = json.loads((FOLDER / case / "expect.json").read_text())
    assert expect.keys() <= KEYS
    report = take(FOLDER / case, tmp_path, monkeypatch, expect)
    assert list(differences(report, expect)) == []


def take(
    folder: Path, root: Path, patch: pytest.MonkeyPatch, expect: dict[str, object]
) -> SensorReport:
    """Unpack a case and read it, twice if there is a second tree."""
    text = (folder / "tree.txt").read_text()
    for name in ("before/sys", "before/proc"):
        (root / name).mkdir(parents=True)
    failing = unpack(text, root / "before")
    after = folder / "after.txt"
    if after.exists():
        failing |= unpack(f"{text}\n{after.read_text()}", root / "after")
    fail_reads(patch, failing)
    return take_report(
        root / "before" / "sys",
        root / "before" / "proc",
        root / "after" / "sys" if after.exists() else None,
        interval_s=expect.get("interval_s"),
        config=msgspec.convert(expect.get("health", {}), HealthConfig),
    )


def differences(report: SensorReport, expect: dict[str, dict[str, object]]) -> Iterator[str]:
    """Yield what is not as expected."""
    wanted = expect["readings"]
    kinds = {key.partition(":")[0] for key in wanted}
    found = {f"{each.kind}:{each.name}": each for each in report.readings}
    for key, reading in found.items():
        if key.partition(":")[0] in kinds and key not in wanted:
            yield f"{key} is not expected: {reading}"
    for key, facts in wanted.items():
        if key not in found:
            yield f"{key} is missing; there are {sorted(found)}"
            continue
        yield from _unlike(key, found[key], facts if isinstance(facts, dict) else {"value": facts})
    for name in ("control", "totals"):
        for key, value in expect.get(name, {}).items():
            actual = getattr(getattr(report, name), key)
            if actual != (pytest.approx(value) if isinstance(value, float) else value):
                yield f"{name}.{key} is {actual!r}, expected {value!r}"


def _unlike(key: str, reading: SensorReading, facts: dict[str, object]) -> Iterator[str]:
    for fact, wanted in facts.items():
        actual = getattr(reading, fact)
        if fact == "reason":
            same = wanted in actual
        elif isinstance(wanted, float):
            same = actual == pytest.approx(wanted, abs=1e-9)
        else:
            same = actual == wanted
        if not same:
            yield f"{key}: {fact} is {actual!r}, expected {wanted!r}"
    if reading.value is None and not reading.reason:
        yield f"{key} has no value and no reason"


def test_the_traps_that_are_known_of_have_a_tree() -> None:
    """No case can be lost without notice, and each says what it is for."""
    assert len(CASES) >= 30
    for case in CASES:
        assert json.loads((FOLDER / case / "expect.json").read_text())["why"]
