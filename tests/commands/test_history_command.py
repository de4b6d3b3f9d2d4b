"""`edgeconsole history` and `edgeconsole alerts`: what is stored, printed and taken away."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgeconsole.cli import main
from edgeconsole.fleet import database, upkeep
from edgeconsole.fleet.alert_book import AlertBook
from edgeconsole.fleet.alerts import AlertKind, Change
from edgeconsole.fleet.late import LateBlock, put_minutes, write
from edgeconsole.protocol.backlog import Block, Gap
from edgeconsole.protocol.figures import Figures
from edgeconsole.protocol.rollups import Rollup
from edgeconsole.protocol.telemetry import Quality, Severity
from edgeconsole.specs import AgentState


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Return a fleet file whose history has a day of minutes, five seconds and a gap of one device."""
    file = tmp_path / "fleet.toml"
    file.write_text('name = "plant"\nhistory = "h.db"\n[[devices]]\nid = "a"\nurl = "ws://x"\n')
    path = tmp_path / "h.db"
    database.make(path)
    now = int(time.time())
    start = now // 60 * 60 - 86_400
    rollup = Rollup(60, temp_c=50.0, temp_high_c=51.0, rate_per_s=2.0, failed=1)
    with database.transaction(path) as connection:
        put_minutes(connection, [("a", start + 60 * n, rollup) for n in range(1430)])
    seconds = [
        Figures(
            *(n, now - 60.0 + n, AgentState.READY, "digits", "1", "fp32", 50.0, 1.0, 2.0, 3.5, 4.0),
            *(9, 9, 0, 0, 0, 0, 50.0, Quality.MEASURED, None, Quality.UNKNOWN, 10.0, None),
        )
        for n in range(5)
    ]
    gap = Gap(now - 3500.0, now - 1700.0, 1800, 0, "no room")
    write(path, "a", [LateBlock("boot-1", 5, Block(tuple(seconds), gap=gap))])
    while upkeep.sum_up(path, "plant", ["a"], time.time()):
        pass
    return file


def said(capsys: Any, *arguments: str) -> Any:
    """Run a verb and return its JSON."""
    main([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_the_resolution_follows_the_time(fleet: Path, capsys: Any) -> None:
    """An hour in samples, a day in minutes, a month in hours; or as one asks."""
    for since, resolution, rows in (("1h", "raw", 5), ("25h", "1m", 1431), ("30d", "1h", 24)):
        found = said(capsys, "history", "a", "--fleet", str(fleet), "--since", since)
        assert found["resolution"] == resolution
        assert abs(len(found["rows"]) - rows) <= 1
    found = said(
        capsys, "history", "a", "--fleet", str(fleet), "--since", "2h", "--resolution", "1m"
    )
    assert found["rows"][0]["temp_high_c"] == 51.0
    assert found["gaps"][0]["reason"] == "no room"


def test_without_a_device_it_is_the_fleet(fleet: Path, capsys: Any) -> None:
    """Minutes of all devices together."""
    found = said(capsys, "history", "--fleet", str(fleet), "--since", "2h")
    assert {row["devices"] for row in found["rows"]} == {1}
    assert found["rows"][0]["rate_per_s"] == 2.0


def test_it_prints_what_a_terminal_can_show(fleet: Path, capsys: Any) -> None:
    """What is unknown is n/a, and what a device lost is said."""
    assert main(["history", "a", "--fleet", str(fleet)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:3] == ["time", "rate_per_s", "p50_ms"]
    assert "n/a" in out[1]
    assert "3.5" in out[1]
    assert out[-1].endswith("1800 samples and 0 events are lost: no room")


def test_csv_and_json_have_every_column(fleet: Path, tmp_path: Path, capsys: Any) -> None:
    """What was exported reads back as it is stored."""
    arguments = ("history", "a", "--fleet", str(fleet), "--since", "1h", "--export")
    assert said(capsys, *arguments, str(tmp_path / "out.csv"))["rows"] == 5
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seq"], row["p99_ms"], row["power_w"]) for row in rows] == [
        (str(n), "3.5", "") for n in range(5)
    ]
    said(capsys, *arguments, str(tmp_path / "out.json"))
    stored = json.loads((tmp_path / "out.json").read_text())
    assert [row["seq"] for row in stored] == list(range(5))
    assert stored[0]["power_w"] is None
    assert len(stored[0]) == len(rows[0]) == 23


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="the extra is not there")
def test_parquet_has_types(fleet: Path, tmp_path: Path, capsys: Any) -> None:
    """Numbers are numbers, and what is unknown is null; an empty time is an empty table."""
    from pyarrow import parquet

    file = tmp_path / "out.parquet"
    said(capsys, "history", "a", "--fleet", str(fleet), "--export", str(file))
    table = parquet.read_table(file)
    assert table.num_rows == 5
    assert table.column("p99_ms").to_pylist() == [3.5] * 5
    assert table.column("power_w").null_count == 5
    empty = ("--since", "90d", "--until", "80d")
    said(capsys, "history", "a", "--fleet", str(fleet), *empty, "--export", str(file))
    assert parquet.read_table(file).num_rows == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "--export", "x.xls"), "cannot be told what to write"),
        (("a", "--since", "soon"), "'soon' is not a time"),
        (("a", "--since", "1h", "--until", "2h"), "--until must be more recent"),
        (("b",), "'b' is not a device"),
        (("a", "--export", "/no/such/folder/x.csv"), "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said(
    fleet: Path, capsys: Any, arguments: tuple[str, ...], message: str
) -> None:
    """One sentence and exit code 2."""
    assert main(["history", *arguments, "--fleet", str(fleet)]) == 2
    assert message in capsys.readouterr().err


def test_parquet_without_its_extra_says_what_to_install(
    fleet: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read or written."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["history", "a", "--fleet", str(fleet), "--export", "x.parquet"]) == 2
    assert "edgeconsole[parquet]" in capsys.readouterr().err


def test_alerts_say_what_goes_on_and_who_looked(fleet: Path, capsys: Any) -> None:
    """Open ones first; exit code 1 while there are any; that nobody looks is said."""
    assert main(["alerts", "--fleet", str(fleet)]) == 0
    assert "no console has looked for alerts yet" in capsys.readouterr().out
    book = AlertBook(fleet.parent / "h.db")
    now = time.time()
    for kind, since in ((AlertKind.HOT, now - 90), (AlertKind.DISK, now - 300)):
        book.write([Change("a", "", kind, Severity.WARNING, True, f"{kind} it is")], since)
    book.write([Change("stranger", "", AlertKind.HOT, Severity.WARNING, True, "x")], now)
    book.write([Change("a", "", AlertKind.DISK, Severity.WARNING, False, "")], now - 200)
    book.looked(now - 3600)
    assert main(["alerts", "--fleet", str(fleet)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "a hot for 1m3" in lines[0]
    assert "a disk over after 1m40s" in lines[1]
    assert lines[2].startswith("no console has looked for alerts for 1h")
    found = said(capsys, "alerts", "--open", "--fleet", str(fleet))
    assert [row["kind"] for row in found["alerts"]] == ["hot"]
