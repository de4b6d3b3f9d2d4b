"""`edgeconsole-agent sensors --json` prints what docs/sensors.md says, and the table says the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import msgspec
import pytest

from edgeconsole import demo
from edgeconsole.protocol.sensors import Control, SensorKind, SensorReading, SensorReport, Totals
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime import cli
from tests.runtime.health.trees import unpack

DIGITS = Path(demo.__file__).parent / "bundles" / "digits"
DOCS = (Path(__file__).parents[3] / "docs" / "sensors.md").read_text()
ROW = re.compile(r"^\| `([a-z_.]+)` \| ([^|]+) \| [^|]+ \|", re.MULTILINE)
TREE = """
sys/class/thermal/thermal_zone0/type = cpu-thermal
sys/class/thermal/thermal_zone0/temp = 51250
sys/class/thermal/thermal_zone0/trip_point_0_type = critical
sys/class/thermal/thermal_zone0/trip_point_0_temp = 105000
sys/class/thermal/thermal_zone1/type = acpitz
sys/class/thermal/thermal_zone1/temp = -44000
sys/class/hwmon/hwmon0/name = ina226
sys/class/hwmon/hwmon0/in1_input = 5000
sys/class/hwmon/hwmon0/curr1_input = 800
proc/meminfo = MemTotal: 2097152 kB
"""
TYPES = {
    "string": str,
    "number": int | float,
    "number or null": int | float | None,
    "string or null": str | None,
    "array": list,
    "object": dict,
}


def rows() -> dict[str, object]:
    """Return the documented keys and their types."""
    return {key: TYPES[kind.strip()] for key, kind in ROW.findall(DOCS) if kind.strip() in TYPES}


def test_every_key_is_documented_in_order() -> None:
    """The tables in docs/sensors.md are the structs."""
    fields = [field.encode_name for field in msgspec.structs.fields(SensorReading)]
    keys = list(rows())
    assert keys[-len(fields) :] == fields
    nested = {"control": Control, "totals": Totals}
    expected = [
        f"{field.encode_name}.{part.encode_name}" if field.encode_name in nested else "readings"
        for field in msgspec.structs.fields(SensorReport)
        for part in (
            msgspec.structs.fields(nested[field.encode_name])
            if field.encode_name in nested
            else (field,)
        )
    ]
    assert keys[: -len(fields)] == expected


def test_every_kind_is_documented_in_order() -> None:
    """The table of kinds has each kind, and the qualities are named."""
    table = DOCS[DOCS.index("| kind | what |") :]
    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == [
        kind.value for kind in SensorKind
    ]
    for quality in Quality:
        assert f"`{quality.value}`" in DOCS


@pytest.fixture(name="roots")
def roots_of_a_tree(tmp_path: Path) -> list[str]:
    """Write the tree; returns the options that name it."""
    unpack(TREE, tmp_path)
    return ["--sysfs-root", str(tmp_path / "sys"), "--procfs-root", str(tmp_path / "proc")]


def test_the_program_prints_what_is_documented(roots: list[str]) -> None:
    """The real program's JSON has exactly the documented keys and types."""
    command = [sys.executable, "-m", "edgeconsole.runtime.cli", "sensors", "--json", *roots]
    done = subprocess.run(command, check=True, capture_output=True, timeout=30)
    said = json.loads(done.stdout)
    documented = rows()
    assert said.keys() == {"readings", "control", "totals"}
    for key, kind in documented.items():
        place, _, part = key.partition(".")
        if part:
            assert part in said[place]
            assert isinstance(said[place][part], typing.get_args(kind))
    assert said["readings"]
    for reading in said["readings"]:
        assert reading.keys() == {key for key in documented if "." not in key} - {"readings"}
        for key, value in reading.items():
            assert isinstance(value, documented[key])  # type: ignore[arg-type]
        assert (reading["value"] is None) <= (reading["quality"] == "unknown")
        assert (reading["quality"] == "unknown") <= (reading["reason"] != "")
    assert said["control"] == {"temperature": "thermal_zone0/cpu-thermal", "power": "ina226/ch1"}
    assert said["totals"] == {"power_w": 4.0, "memory_limit_bytes": 2 << 30}


def test_the_table_shows_controls_limits_and_reasons(
    roots: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """People see the same: an arrow at what controls, a question mark at what is not believed."""
    assert cli.main(["sensors", *roots]) == 0
    lines = [re.sub(" +", " ", line) for line in capsys.readouterr().out.splitlines()]
    assert "→ thermal_zone0/cpu-thermal 51.25 °C critical 105" in lines
    assert " thermal_zone1/acpitz ? -44 °C not plausible for a device that works" in lines
    assert "→ ina226/ch1 4 W" in lines
    assert " total 2.0 GiB" in lines
    assert lines[-4:] == [
        "control temperature thermal_zone0/cpu-thermal",
        "control power ina226/ch1",
        "total power 4.0 W",
        "memory limit 2.0 GiB",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sysfs-root", "/nowhere"], "/nowhere is not a folder"),
        (["--sysfs-root-after", "/"], "needs --sysfs-root"),
        (["--interval", "0"], "--interval must be above 0"),
        (["--interval", "nan"], "--interval must be above 0"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_bad_options_say_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong option ends with exit code 2 and one line."""
    assert cli.main(["sensors", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err


def test_this_machine_is_read_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever this machine has, its readings are well-formed, and unknown ones say why."""
    assert cli.main(["sensors", "--json", "--interval", "0.25"]) == 0
    report = msgspec.json.decode(capsys.readouterr().out, type=SensorReport)
    names = [(each.kind, each.name) for each in report.readings]
    assert len(set(names)) == len(names)
    assert {SensorKind.TEMPERATURE, SensorKind.POWER, SensorKind.MEMORY} <= {
        kind for kind, _ in names
    }
    assert all(each.reason for each in report.readings if each.value is None)
    assert (report.value(SensorKind.MEMORY, "total") or 0) > 1 << 20


@pytest.mark.parametrize("program", ["edgeconsole.runtime.cli", "edgeconsole"])
def test_a_reader_that_has_gone_is_no_error(program: str) -> None:
    """`… | head` ends without a trace, however little of the output was taken."""
    verb = ["sensors"] if program.endswith("cli") else ["bundle", "show", str(DIGITS)]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", program, *verb],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
