"""`edgeconsole top`: a stable JSON shape, exit codes for scripts, and text no device can abuse."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Self

import pytest

from edgeconsole.commands import top
from edgeconsole.fleet.store import FleetStore, LinkState
from edgeconsole.protocol.telemetry import DeviceSample, ModelSample, ModelState, Quality, Reading
from edgeconsole.specs import AgentState, FleetDevice, FleetSpec

DEVICES = ("good", "hot", "late", "new")
KEYS = [
    *("id", "site", "url", "level", "reason", "freshness", "age_s", "link", "link_reason", "state"),
    *("model", "version", "variant", "deadline_ms", "p50_ms", "p95_ms", "p99_ms", "rate_per_s"),
    *("temp_c", "power_w", "cpu_percent", "memory_percent", "uptime_s", "models"),
    *("routes", "orders_waiting"),
]
"""What scripts may rely on."""


def sample(
    *, temp_c: float = 50.0, p99_ms: float | None = 10.0, name: str = "digits", reason: str = ""
) -> DeviceSample:
    """Return a sample of a device with one model."""
    model = ModelSample(
        model=name,
        version="1",
        variant="fp32",
        digest="d" * 64,
        state=ModelState.READY,
        active=True,
        deadline_ms=50.0,
        p50_ms=2.0,
        p95_ms=4.5,
        p99_ms=p99_ms,
        rate_per_s=12.5,
    )
    return DeviceSample(
        device_id="a",
        boot_id="b",
        seq=1,
        time_unix_s=1.75e9,
        state=AgentState.ERROR if reason else AgentState.READY,
        uptime_s=61.26,
        temp_c=Reading(temp_c, "°C", "zone", Quality.MEASURED),
        power_w=Reading(unit="W", reason="no counter"),
        cpu_percent=3.0,
        memory_percent=40.0,
        memory_used_bytes=1,
        agent_rss_bytes=1,
        connections=1,
        models=(model,),
        reason=reason,
    )


GOOD, WARM, HOT, LATE = sample(), sample(temp_c=85.0), sample(temp_c=95.0), sample(p99_ms=75.0)


class Canned:
    """A service whose store is filled already and whose clock stands still."""

    def __init__(self, samples: dict[str, DeviceSample | None], age_s: float = 0.0) -> None:
        now = [1000.0]
        devices = tuple(
            FleetDevice(name, f"ws://127.0.0.1:{1 + n}") for n, name in enumerate(samples)
        )
        self.store = FleetStore(FleetSpec(name="lab", devices=devices), lambda: now[0])
        for name, heard in samples.items():
            if heard is not None:
                self.store.set_link(name, LinkState.LIVE)
                self.store.add_sample(name, heard)
        now[0] += age_s

    def __call__(self, _: object) -> Self:
        """Stand for the class."""
        return self

    async def __aenter__(self) -> Self:
        """Start nothing."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop nothing."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs `top` on a canned fleet; returns its exit code."""
    fleet = tmp_path / "fleet.toml"
    fleet.write_text('name = "lab"\n')
    monkeypatch.setattr(top, "_FIRST_SAMPLE_S", 0.0)

    def go(canned: Canned, *arguments: str) -> int:
        monkeypatch.setattr(top, "FleetService", canned)
        parser = argparse.ArgumentParser()
        parser.add_argument("--fleet", type=Path)
        top.add_parser(parser.add_subparsers())
        options = parser.parse_args(["--fleet", str(fleet), "top", "--once", *arguments])
        code: int = options.run(options)
        return code

    return go


def test_json_has_stable_keys(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Every device has every key, heard of or not, and the worst device comes first."""
    run(Canned({"good": GOOD, "hot": HOT, "new": None}), "--json")
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["fleet", "time_unix_s", "devices"]
    assert printed["fleet"] == "lab"
    assert [list(device) for device in printed["devices"]] == [KEYS] * 3
    assert [device["id"] for device in printed["devices"]] == ["hot", "new", "good"]


def test_json_of_a_device_that_was_heard(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures are as the device sent them, its level and age as the console sees them."""
    run(Canned({"late": LATE}, age_s=1.25), "--json")
    (device,) = json.loads(capsys.readouterr().out)["devices"]
    (model,) = device.pop("models")
    assert (model["model"], model["state"], model["p99_ms"]) == ("digits", "ready", 75.0)
    assert device == {
        "id": "late",
        "site": "",
        "url": "ws://127.0.0.1:1",
        "level": "critical",
        "reason": "p99 is 150% of the deadline",
        "freshness": "live",
        "age_s": 1.25,
        "link": "live",
        "link_reason": "",
        "state": "ready",
        "model": "digits",
        "version": "1",
        "variant": "fp32",
        "deadline_ms": 50.0,
        "p50_ms": 2.0,
        "p95_ms": 4.5,
        "p99_ms": 75.0,
        "rate_per_s": 12.5,
        "temp_c": {"value": 50.0, "unit": "°C", "source": "zone", "quality": "measured"},
        "power_w": {"unit": "W", "reason": "no counter"},
        "cpu_percent": 3.0,
        "memory_percent": 40.0,
        "uptime_s": 61.3,
        "routes": [],
        "orders_waiting": [],
    }


def test_json_of_a_device_never_heard_of(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not known is `null` or without a value, never zero."""
    run(Canned({"new": None}), "--json")
    (device,) = json.loads(capsys.readouterr().out)["devices"]
    known = {name: value for name, value in device.items() if value is not None}
    assert known == {
        "id": "new",
        "site": "",
        "url": "ws://127.0.0.1:1",
        "level": "unknown",
        "reason": "not heard of yet",
        "freshness": "never",
        "link": "connecting",
        "link_reason": "",
        "temp_c": {"unit": "°C"},
        "power_w": {"unit": "W"},
        "models": [],
        "routes": [],
        "orders_waiting": [],
    }


@pytest.mark.parametrize("json_too", [[], ["--json"]])
@pytest.mark.parametrize("problems", [[], ["--problems"]])
@pytest.mark.parametrize(
    ("samples", "age_s", "code"),
    [
        ({}, 0.0, 0),
        ({"a": GOOD}, 0.0, 0),
        ({"a": GOOD, "b": WARM}, 0.0, 1),
        ({"a": GOOD}, 5.0, 1),
        ({"a": GOOD, "b": WARM, "c": HOT}, 0.0, 2),
        ({"a": GOOD, "b": LATE}, 0.0, 2),
        ({"a": GOOD}, 60.0, 2),
        ({"a": GOOD, "b": None}, 0.0, 2),
        ({"a": sample(reason="worker lost")}, 0.0, 2),
    ],
    ids=["none", "good", "warm", "stale", "hot", "late", "gone", "new", "error"],
)
def test_exit_codes(
    run: Any,
    *,
    samples: dict[str, DeviceSample | None],
    age_s: float,
    code: int,
    problems: list[str],
    json_too: list[str],
) -> None:
    """The code is the worst device's, whatever is printed: 0 well, 1 warnings, 2 trouble."""
    assert run(Canned(samples, age_s), *problems, *json_too) == code


def test_problems_leaves_out_what_is_well(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Only devices that need a look are printed."""
    run(Canned({"good": GOOD, "warm": WARM, "late": LATE}), "--problems", "--json")
    devices = json.loads(capsys.readouterr().out)["devices"]
    assert [device["id"] for device in devices] == ["late", "warm"]


def test_table(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns line up, unknown is a dash, and the reasons go to stderr."""
    run(Canned({"good": GOOD, "late": LATE, "new": None}))
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split() == [
        *("STATE", "DEVICE", "ACTIVE", "P50", "ms", "P95", "ms", "P99", "ms"),
        *("BUDGET", "REQ/S", "°C", "W"),
    ]
    assert [line.split() for line in lines[1:]] == [
        ["critical", "late", "digits/fp32", "2.0", "4.5", "75.0", "150%", "12.5", "50", "-"],
        ["unknown", "new", *["-"] * 8],
        ["ok", "good", "digits/fp32", "2.0", "4.5", "10.0", "20%", "12.5", "50", "-"],
    ]
    assert (
        len(
            {
                line.index(word)
                for line, word in zip(lines[1:], ("late", "new", "good"), strict=True)
            }
        )
        == 1
    )
    assert printed.err.splitlines() == [
        "late: p99 is 150% of the deadline",
        "new: not heard of yet",
    ]


def test_a_device_cannot_move_the_cursor(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in what a device says are not sent to the terminal."""
    evil = "\x1b[2J\x07\r\n\x9b1A"
    run(Canned({"a": sample(name=evil, reason=evil)}))
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert not set("\x1b\x07\r\x9b") & set(text)
        assert "?[2J" in text
    assert len(printed.out.splitlines()) == 2
