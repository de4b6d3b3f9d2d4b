"""NVIDIA GPUs through a stand-in for NVML, also one that says what real `nvidia-smi` outputs say."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from edgeconsole.protocol.sensors import SensorReading
from edgeconsole.runtime.health.sensors import nvidia
from edgeconsole.runtime.health.sensors.lane import Lane
from edgeconsole.runtime.health.sensors.nvidia import read_gpus
from tests.runtime.health.nvml import StandInNvml
from tests.runtime.health.test_captures import FOLDER

FULL = {
    "temperature": 61,
    "threshold0": 98,
    "threshold1": 95,
    "power_mw": 142_330,
    "limit_mw": 320_000,
    "energy_mj": 5_000_000,
    "busy": 65,
    "memory_used": 9 << 30,
    "memory_total": 10 << 30,
    "sm_mhz": 1950,
    "fan": 40,
    "reasons": 0x20 | 0x40,
}


def read(nvml: Any, root: Path, *, lane: Lane | None = None) -> dict[str, SensorReading]:
    """Return one round's readings."""
    lane = lane or Lane(lambda round_: read_gpus(round_, nvml), root, root)
    lane.collect()
    return {f"{each.kind}:{each.name}": each for each in lane.readings}


def test_a_gpu_that_says_everything(tmp_path: Path) -> None:
    """Figures come in the project's units, with limits, and a bit for each reason to slow down."""
    found = read(StandInNvml(FULL), tmp_path)
    assert {key: each.value for key, each in found.items()} == {
        "temperature:nvidia0/temperature": 61.0,
        "energy:nvidia0/energy": 5000.0,
        "power:nvidia0/power": pytest.approx(142.33),
        "gpu:nvidia0/busy": 65.0,
        "gpu:nvidia0/memory_used": float(9 << 30),
        "gpu:nvidia0/memory_total": float(10 << 30),
        "frequency:nvidia0/sm": 1950.0,
        "fan:nvidia0/fan": 40.0,
        "throttle:nvidia0/sw_power_cap": 0.0,
        "throttle:nvidia0/hw_slowdown": 0.0,
        "throttle:nvidia0/sw_thermal_slowdown": 1.0,
        "throttle:nvidia0/hw_thermal_slowdown": 1.0,
        "throttle:nvidia0/hw_power_brake": 0.0,
    }
    assert found["temperature:nvidia0/temperature"].limits == {"shutdown": 98.0, "slowdown": 95.0}
    assert found["power:nvidia0/power"].limits == {"enforced": 320.0}


def test_what_a_gpu_does_not_support_is_unknown_alone(tmp_path: Path) -> None:
    """One that says only its temperature still says that; a lost one leaves the others."""
    found = read(StandInNvml({"lost": True}, {"temperature": 40}), tmp_path)
    assert found["gpu:nvidia0/busy"].reason == "GPU is lost"
    assert found["temperature:nvidia1/temperature"].value == 40.0
    rest = [each for each in found.values() if each.name != "nvidia1/temperature"]
    assert all(each.value is None and each.reason for each in rest)
    assert found["power:nvidia1/power"].reason == "Not Supported"
    assert "fan:nvidia1/fan" not in found


def test_power_is_derived_where_only_energy_is_supported(tmp_path: Path) -> None:
    """Two readings of the energy give the power between them."""
    gpu = {"energy_mj": 1000}
    now_s = iter((10.0, 10.0, 12.0, 12.0))
    lane = Lane(
        lambda round_: read_gpus(round_, StandInNvml(gpu)),
        tmp_path,
        tmp_path,
        clock=lambda: next(now_s),
    )
    assert read(None, tmp_path, lane=lane)["power:nvidia0/power"].value is None
    gpu["energy_mj"] = 51_000
    assert read(None, tmp_path, lane=lane)["power:nvidia0/power"].value == pytest.approx(25.0)


def test_without_a_driver_there_is_nothing_and_with_one_a_reason(tmp_path: Path) -> None:
    """A machine without a GPU is not told to install anything; one with a driver is told why nothing is known."""
    broken = StandInNvml(broken="Driver Not Loaded")
    assert read(None, tmp_path) == read(broken, tmp_path) == {}
    version = tmp_path / nvidia.DRIVER
    version.parent.mkdir(parents=True)
    version.write_text("NVRM version\n")
    assert "pip install 'edgeconsole[nvidia]'" in read(None, tmp_path)["gpu:nvidia/busy"].reason
    assert read(broken, tmp_path)["gpu:nvidia/busy"].reason == "Driver Not Loaded"


@pytest.mark.parametrize("answer", ["N/A", None, -5, 10**9, float("nan"), True])
def test_an_answer_that_cannot_be_is_unknown(tmp_path: Path, answer: object) -> None:
    """Texts, nothing, and what no GPU has give no value."""
    found = read(StandInNvml({"power_mw": answer, "busy": answer, "temperature": answer}), tmp_path)
    for key in ("power:nvidia0/power", "gpu:nvidia0/busy"):
        assert found[key].value is None
        assert found[key].reason


def _number(text: str | None) -> float | None:
    match = re.fullmatch(r"(-?[0-9.]+) [A-Za-z%]+", text or "")
    return float(match[1]) if match else None


def _gpu_of(file: Path) -> dict[str, Any]:
    """Return what NVML says where `nvidia-smi` wrote this: nothing for N/A."""
    gpu = ET.parse(file).getroot().find("gpu")
    assert gpu is not None

    def times(factor: float, *paths: str) -> int | None:
        values = [value for path in paths if (value := _number(gpu.findtext(path))) is not None]
        return round(values[0] * factor) if values else None

    return {
        "temperature": times(1, "temperature/gpu_temp"),
        "power_mw": times(
            1e3,
            "power_readings/power_draw",
            "gpu_power_readings/instant_power_draw",
            "gpu_power_readings/power_draw",
        ),
        "busy": times(1, "utilization/gpu_util"),
        "memory_used": times(1 << 20, "fb_memory_usage/used"),
        "memory_total": times(1 << 20, "fb_memory_usage/total"),
    }


@pytest.mark.skipif(
    not (FOLDER / "nvidia-smi").is_dir(), reason=f"no nvidia-smi outputs at {FOLDER}"
)
def test_real_gpus_give_what_is_expected_of_them(tmp_path: Path) -> None:
    """Of each recorded GPU the figures are right, and what it did not tell is unknown."""
    folder = FOLDER / "nvidia-smi"
    with (folder / "EXPECTED.tsv").open() as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert len(rows) >= 10
    for row in rows:
        found = read(StandInNvml(_gpu_of(folder / row["file"])), tmp_path)
        for key, column, factor in (
            ("temperature:nvidia0/temperature", "temp", 1.0),
            ("power:nvidia0/power", "power", 1.0),
            ("gpu:nvidia0/busy", "util", 1.0),
            ("gpu:nvidia0/memory_used", "mem_used", 1 << 20),
            ("gpu:nvidia0/memory_total", "mem_total", 1 << 20),
        ):
            wanted = _number(row[column])
            expected = None if wanted is None else pytest.approx(wanted * factor)
            assert found[key].value == expected, (row["file"], key)


def test_the_real_library_has_what_is_asked() -> None:
    """Every question the collector asks is one of the installed library's."""
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py (extra nvidia) is not installed")
    source = Path(nvidia.__file__).read_text()
    asked = set(re.findall(r'"(nvmlDevice[A-Za-z]+)"', source))
    assert len(asked) >= 10
    assert [question for question in sorted(asked) if not hasattr(pynvml, question)] == []
