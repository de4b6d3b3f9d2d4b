"""What a Raspberry Pi's firmware says, through a stand-in for its tool, and the real runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.files import FileReader, UnreadError
from edgeconsole.runtime.health.sensors.raspberry import find_runner, read_firmware
from edgeconsole.runtime.health.sensors.round import Round
from edgeconsole.runtime.health.sensors.total_power import total_power

PMIC = """   3V3_SYS_A current(1)=0.05000000A
   VDD_CORE_A current(7)=1.50000000A
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.10000000V
      BATT_V volt(25)=0.00000000V
    LONE_A current(3)=9.00000000A"""
PI5 = {
    "get_throttled": "throttled=0x50005",
    "measure_temp": "temp=48.3'C",
    "measure_clock": "frequency(0)=2400033792",
    "pmic_read_adc": PMIC,
}


def read(said: dict[str, str]) -> dict[str, SensorReading]:
    """Return the readings of a tool that says so much and fails for the rest."""

    def run(arguments: tuple[str, ...]) -> str:
        if arguments[0] not in said:
            raise UnreadError(f"vcgencmd {arguments[0]} failed: error=1")
        return said[arguments[0]]

    found = FileReader(deadline_s=5.0).round(lambda files: read_firmware(Round(files), run))
    return {f"{each.kind}:{each.name}": each for each in found}


def test_bits_clock_temperature_and_rails_of_a_pi_5() -> None:
    """Each bit is a reading, now and since boot; only rails with both volts and amperes are power."""
    found = read(PI5)
    bits = {key: each.value for key, each in found.items() if each.kind is SensorKind.THROTTLE}
    names = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
    assert bits == {
        **{f"throttle:vcgencmd/{name}": float(name in names[::2]) for name in names},
        **{f"throttle:vcgencmd/{name}_since_boot": float(name in names[::2]) for name in names},
    }
    assert found["temperature:vcgencmd/soc"].value == 48.3
    assert found["frequency:vcgencmd/arm"].value == pytest.approx(2400.033792)
    powers = {key: each.value for key, each in found.items() if each.kind is SensorKind.POWER}
    assert powers == {
        "power:pmic/3V3_SYS": pytest.approx(0.165),
        "power:pmic/VDD_CORE": pytest.approx(1.2),
        "power:pmic/sum": pytest.approx(1.365),
    }
    total = total_power(list(found.values()))
    assert (total.name, total.quality) == ("pmic/sum", Quality.DERIVED)
    assert "not USB and HATs" in total.source


def test_a_pi_4_has_no_power_chip() -> None:
    """A tool that does not know the question gives no rails, and the rest as before."""
    found = read({key: said for key, said in PI5.items() if key != "pmic_read_adc"})
    assert found["throttle:vcgencmd/throttled"].value == 1.0
    assert not [each for each in found.values() if each.kind is SensorKind.POWER]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"get_throttled": "error=1 error_msg=x", "measure_temp": "temp=999.9'C"},
        {"get_throttled": "throttled=0xzz", "measure_temp": "", "measure_clock": "frequency(0)="},
        {"pmic_read_adc": "VDD_A current(1)=1e9A\nVDD_V volt(1)=\x1b[31mV", "measure_temp": "48"},
        {"pmic_read_adc": "VDD_A current(1)=999999A\nVDD_V volt(1)=999999V"},
    ],
)
def test_what_it_says_otherwise_is_unknown_with_a_reason(said: dict[str, str]) -> None:
    """Errors, other forms and impossible numbers give no value."""
    for reading in read(said).values():
        assert reading.value is None
        assert reading.reason


def test_the_real_runner_runs_the_tool_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program on the path is run with its arguments; failures are reasons; without it there is none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_runner() is None
    tool = tmp_path / "vcgencmd"
    tool.write_text(
        '#!/bin/sh\n[ "$1" = get_throttled ] && echo "throttled=0x0" && exit\necho no; exit 3\n'
    )
    tool.chmod(0o755)
    run = find_runner()
    assert run is not None
    assert run(("get_throttled",)) == "throttled=0x0"
    with pytest.raises(UnreadError, match="vcgencmd measure_temp failed: no"):
        run(("measure_temp",))
