"""Whatever a tree holds, reading it ends, raises nothing, and gives readings that can be sent."""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import time
from pathlib import Path

import msgspec
import pytest

from edgeconsole.protocol.sensors import SensorKind, SensorReport
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.cli import take_report
from edgeconsole.runtime.health.sensor_table import table_lines
from edgeconsole.runtime.health.sensors.survey import MAX_READINGS
from tests.runtime.health.test_trees import CASES, FOLDER
from tests.runtime.health.trees import unpack

SEEDS = 24
NASTY = (
    b"",
    b"\0",
    b"\n\n",
    b"-1\n",
    b"-9223372036854775808\n",
    b"18446744073709551615\n",
    b"9" * 5000,
    b"1e309\n",
    b"nan\n",
    b"0x10\n",
    b"\xff\xfe\x80",
    b"\x1b]0;title\x07\x1b[2J",
    "٣٤\n".encode(),
    b"max\n",
    b"some avg10=x total=99999999999999999999999\n",
    b"a: b: c: d\n" * 500,
    b"../" * 100,
    b"../../../../../../etc/passwd",
)


def plant(root: Path) -> None:
    """Write all cases' trees over each other: a machine with everything."""
    for case in CASES:
        text = (FOLDER / case / "tree.txt").read_text()
        for line in text.splitlines():
            with contextlib.suppress(OSError):  # One has a folder where another has a file.
                unpack(line, root)


def mangle(root: Path, dice: random.Random) -> None:
    """Damage a third of the files, and a few folders."""
    paths = sorted(path for path in root.rglob("*") if not path.is_symlink())
    files = [path for path in paths if not path.is_dir()]
    folders = [path for path in paths if path.is_dir()]
    hit = [*dice.sample(files, len(files) // 3), *dice.sample(folders, len(folders) // 20)]
    for path in hit:
        if not path.exists():
            continue
        match dice.randrange(8):
            case 0:
                _remove(path)
            case 1:
                _remove(path)
                path.symlink_to(dice.choice((path.name, "..", "/", "/dev/zero", "gone", ".")))
            case 2:
                _remove(path)
                os.mkfifo(path)
            case 3:
                _remove(path)
                path.mkdir()
            case 4 if path.is_file():
                path.write_bytes(dice.randbytes(dice.randrange(200)))
            case 5 if path.is_file():
                text = path.read_bytes()
                cut = dice.randrange(len(text) + 1)
                path.write_bytes(text[:cut] + dice.choice(NASTY) + text[cut:])
            case 6 if path.is_dir():
                name = os.fsdecode(bytes(dice.choice(b"temp1_input\x80\xffx") for _ in range(6)))
                if not os.path.lexists(path / name):
                    (path / name).mkdir()
            case _ if path.is_file():
                path.write_bytes(dice.choice(NASTY))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def check(report: SensorReport) -> None:
    """Hold what must be true of every report."""
    encoded = msgspec.json.encode(report)
    assert msgspec.json.decode(encoded, type=SensorReport) == report
    assert all(line.isprintable() for line in table_lines(report))
    names = [(each.kind, each.name) for each in report.readings]
    assert len(set(names)) == len(names) <= MAX_READINGS + 3
    for each in report.readings:
        assert each.value is None or math.isfinite(each.value)
        assert each.value is not None or (each.reason and each.quality is Quality.UNKNOWN), each
        assert each.quality is not Quality.UNKNOWN or each.reason, each
        if each.believed and each.value is not None:
            assert each.kind is not SensorKind.TEMPERATURE or -40 <= each.value <= 125, each
            assert each.unit != "W" or 0 <= each.value <= 50_000, each
    assert report.totals.power_w is None or report.totals.power_w >= 0


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_damaged_tree_is_read_to_the_end(tmp_path: Path, seed: int) -> None:
    """Random damage to a machine with everything, before and between two readings."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    plant(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", symlinks=True, copy_function=_copy)
    mangle(tmp_path / "a", dice)
    mangle(tmp_path / "b", dice)
    roots = [tmp_path / "a" / "sys", tmp_path / "a" / "proc", tmp_path / "b" / "sys"]
    for root in roots:
        if not root.is_dir():
            root.unlink(missing_ok=True)
            root.mkdir()
    began_s = time.monotonic()
    check(take_report(*roots, interval_s=1.0))
    assert time.monotonic() - began_s < 20


def _copy(source: str, target: str) -> None:
    if Path(source).is_file():
        shutil.copyfile(source, target)


def test_a_machine_with_everything_is_read(tmp_path: Path) -> None:
    """The undamaged tree has readings of nearly every kind: the damage has something to hit."""
    plant(tmp_path)
    report = take_report(tmp_path / "sys", tmp_path / "proc")
    check(report)
    assert len({each.kind for each in report.readings}) >= 15
    assert len(report.readings) > 100


def test_a_tree_with_far_too_much_is_cut(tmp_path: Path) -> None:
    """Thousands of sensors give a bounded number of readings."""
    for number in range(40):
        folder = tmp_path / "sys" / "class" / "hwmon" / f"hwmon{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text("same\n")
        for channel in range(1, 80):
            (folder / f"temp{channel}_input").write_text("40000\n")
    (tmp_path / "proc").mkdir()
    report = take_report(tmp_path / "sys", tmp_path / "proc")
    check(report)
    assert len(report.readings) <= MAX_READINGS + 3
