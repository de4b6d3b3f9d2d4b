"""`edgeconsole-agent thermal --replay`: recorded runs through the real policy, wrong files by their line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgeconsole.errors import ConfigError
from edgeconsole.runtime.cli import main
from edgeconsole.runtime.health.thermal_replay import each_second, read_trace

RUN = "t_s,temp_c,freq_mhz_a,cpu_pct\n0,50,1500,10\n20,50,1500,90\n40,86,1400,100\n60,86,1300,100\n"


@pytest.fixture
def trace(tmp_path):
    """Return a function that writes a trace."""

    def write(text):
        file = tmp_path / "run.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def test_a_run_gives_moves_and_a_summary(trace, capsys) -> None:
    """When, how hot, from which state to which, which step, why; at the end the time in each state."""
    assert main(["thermal", "--replay", str(trace(RUN)), "--limit", "93"]) == 0
    *moves, last = capsys.readouterr().out.splitlines()
    assert "unknown → nominal, step 0" in moves[0]
    assert any(
        "nominal → warm" in line and "step 1: background work waits" in line for line in moves
    )
    assert any("→ hot, step 3: the rate is governed" in line for line in moves)
    assert "hot_temperature" in "".join(moves)
    assert last.startswith("60 s, 2 transitions: nominal ")
    assert "limit 93.0 °C (device.toml)" in last


def test_a_run_as_json(trace, capsys) -> None:
    """With `--json` each move is an object with its conditions and allowance, the last the summary."""
    assert main(["thermal", "--json", "--replay", str(trace(RUN)), "--limit", "93"]) == 0
    *moves, last = map(json.loads, capsys.readouterr().out.splitlines())
    hot = next(each for each in moves if each["after"] == "hot")
    assert hot["cause"] == "hot_temperature"
    assert hot["allowance"]["step"] == 3
    condition = next(each for each in hot["conditions"] if each["name"] == "hot_temperature")
    assert condition["met"]
    assert condition["measured"] >= condition["threshold"]
    assert last["transitions"] == 2
    assert sum(last["states_s"].values()) == pytest.approx(last["seconds"]) == 60.0


def test_a_trace_without_a_limit_is_unknown(trace, capsys) -> None:
    """Without trip points and `--limit` nothing is compared, and the summary says why."""
    assert main(["thermal", "--replay", str(trace(RUN))]) == 0
    (only,) = capsys.readouterr().out.splitlines()
    assert "unknown 60 s" in only
    assert "no trip points" in only


def test_trips_and_failed_reads_are_columns(trace, capsys) -> None:
    """A trip column is the limit; a sensor that goes away is hot within eleven seconds."""
    rows = [f"{second},{50 if second < 20 else ''},85" for second in range(40)]
    file = trace("t_s,temp_c,passive_c\n" + "\n".join(rows) + "\n")
    assert main(["thermal", "--json", "--replay", str(file)]) == 0
    *moves, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (moves[-1]["after"], moves[-1]["cause"]) == ("hot", "sensor_lost")
    assert moves[-1]["at_s"] <= 19 + 11
    assert last["limit_source"] == "passive trip"


def test_rows_are_read_once_a_second(trace) -> None:
    """Between two rows there is a reading each second; a gap of more than five minutes stays one."""
    rows = list(each_second(read_trace(trace("t_s,temp_c\n0,50\n4,58\n400,60\n401.5,63\n"))))
    assert [at_s for at_s, _ in rows] == [0, 1, 2, 3, 4, 400, 401, 401.5]
    assert [reading.temp_c for _, reading in rows][:5] == [50, 52, 54, 56, 58]
    assert rows[6][1].temp_c == pytest.approx(62.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,temp\n0,50\n", "no t_s"),
        ("", "no t_s"),
        ("t_s,temp_c\n0,50\n1,hot\n", ":3: temp_c is 'hot'"),
        ("t_s,temp_c\n0,nan\n", ":2: temp_c is 'nan'"),
        ("t_s,temp_c\n,50\n", ":2: t_s is empty"),
        ("t_s,temp_c\n5,50\n5,51\n", "t_s goes back to 5"),
        (b"t_s,temp_c\n0,\xff\xfe\n", "cannot be read"),
    ],
)
def test_what_is_wrong_in_a_trace_is_named(trace, text, said) -> None:
    """A wrong head, number, order or encoding is an error that says where."""
    with pytest.raises(ConfigError, match=said):
        read_trace(trace(text))


def test_the_verb_imports_no_engine(trace) -> None:
    """A replay is the pure function in a process without an engine, a server or a model."""
    program = (
        "import sys\nfrom edgeconsole.runtime.cli import main\n"
        f"main(['thermal', '--replay', {str(trace(RUN))!r}])\n"
        "loaded = {'torch', 'onnxruntime', 'websockets', 'textual'} & sys.modules.keys()\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_a_missing_file_is_said(tmp_path, capsys) -> None:
    """The verb ends with 2 and the file's name, not with a stack trace."""
    assert main(["thermal", "--replay", str(tmp_path / "none.csv")]) == 2
    assert "none.csv: cannot be read" in capsys.readouterr().err
