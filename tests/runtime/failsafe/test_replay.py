"""Evidence that was recorded or written by hand leads to the same transitions as it did, or would."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconsole.errors import ConfigError, StoreError
from edgeconsole.protocol.failsafe import BreakerPhase, OverrideKind
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.cli import main
from edgeconsole.runtime.failsafe.evidence import Evidence, Heat
from edgeconsole.runtime.failsafe.ladder import LadderLimits, LadderState, decide
from edgeconsole.runtime.failsafe.recorder import MAX_WAITING, EvidenceRecorder, Recorded
from edgeconsole.runtime.failsafe.replay import MAX_LINE_BYTES, read_trace, replay

GONE = '{"at_s": 5, "evidence": {"fallback_down": "", "primary_down": "SIGKILL"}}'
TRACE = f"""\
{{"at_s": 0, "evidence": {{"fallback_down": ""}}}}
{GONE}

{{"at_s": 8, "evidence": {{"fallback_down": ""}}}}
{{"at_s": 10, "evidence": {{"fallback_down": ""}}}}
"""


def test_a_written_trace_gives_transitions(tmp_path, capsys) -> None:
    """The verb prints when, from where to where, and why, a line each."""
    file = tmp_path / "faults.jsonl"
    file.write_text(TRACE)
    assert main(["ladder", "--replay", str(file)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "5.000 s  primary → fallback  primary_down: SIGKILL" in first
    assert "[primary_down, fallback_available]" in first
    assert "10.000 s  fallback → primary  recovered" in second


def test_transitions_as_json(tmp_path, capsys) -> None:
    """With `--json` each transition is an object with its conditions."""
    file = tmp_path / "faults.jsonl"
    file.write_text(TRACE)
    assert main(["ladder", "--json", "--replay", str(file)]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["before"], first["after"], first["cause"]) == (
        "primary",
        "fallback",
        "primary_down",
    )
    assert {"name": "primary_down", "met": True, "detail": "SIGKILL"} in first["conditions"]
    assert second["at_s"] == 10


def test_the_verb_imports_no_engine(tmp_path) -> None:
    """A replay is the pure function in a process without an engine, a server or a model."""
    file = tmp_path / "faults.jsonl"
    file.write_text(TRACE)
    code = (
        "import sys; from edgeconsole.runtime.cli import main; "
        f"main(['ladder', '--replay', {str(file)!r}]); "
        "print([name for name in ('onnxruntime', 'torch', 'websockets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ":1: "),
        (GONE + "\nnonsense\n", ":2: "),
        ('{"evidence": {}}', "at_s"),
        ('{"at_s": 1, "evidence": {"primary_dwon": "x"}}', "primary_dwon"),
        ('{"at_s": 1, "evidence": {"breaker": "ajar"}}', "ajar"),
        (GONE + '\n{"at_s": 4}\n', ":2: at_s goes back to 4"),
        ('{"at_s": 1, "x": "' + "x" * MAX_LINE_BYTES + '"}', ":1: "),
    ],
)
def test_a_bad_trace_is_named_by_its_line(tmp_path, capsys, text, words) -> None:
    """What cannot be understood is not skipped: file, line and reason, exit code 2."""
    file = tmp_path / "faults.jsonl"
    file.write_text(text)
    assert main(["ladder", "--replay", str(file)]) == 2
    assert words in capsys.readouterr().err


def test_a_missing_trace_is_an_error(tmp_path) -> None:
    """A file that is not there is said to be not there."""
    with pytest.raises(ConfigError, match="No such file"):
        list(read_trace(tmp_path / "none"))


EVIDENCE = st.builds(
    Evidence,
    primary_down=st.sampled_from(["", "gone"]),
    breaker=st.sampled_from(BreakerPhase),
    temp_c=st.none() | st.floats(0.0, 100.0),
    heat=st.sampled_from(Heat),
    fallback_down=st.sampled_from(["", "gone"]),
    static_down=st.sampled_from(["", "none"]),
    override=st.none() | st.sampled_from(OverrideKind),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 30.0), EVIDENCE), max_size=40))
def test_what_was_recorded_gives_what_happened(tmp_path_factory, steps) -> None:
    """A recording replayed has the transitions of the route that was recorded, at the same times."""
    file = tmp_path_factory.mktemp("replay") / "evidence.jsonl"
    recorder, state, now_s, happened = EvidenceRecorder(file, 1 << 30), LadderState(), 0.0, []
    for wait_s, evidence in steps:
        now_s += wait_s
        recorder.record(Recorded(now_s, evidence, "m"))
        decision = decide(state, evidence, now_s, LadderLimits())
        if decision.rung is not state.rung:
            happened.append((now_s, state.rung, decision.rung, decision.state.cause))
        state = decision.state
    recorder.flush()
    if not steps:
        assert not file.exists()
        return
    again = replay(read_trace(file), LadderLimits())
    assert [(each.at_s, each.before, each.after, each.cause) for each in again] == happened


def test_models_have_routes_of_their_own() -> None:
    """One model's fault moves only its own route; a release reaches its own latch."""
    gone = Evidence(primary_down="gone", static_down="")
    steps = list(replay([Recorded(0.0, gone, "a"), Recorded(0.1, Evidence(), "b")], LadderLimits()))
    assert [(each.model, each.after) for each in steps] == [("a", Rung.STATIC)]


def test_the_recording_is_bounded(tmp_path) -> None:
    """Two files, each at most half of what is allowed and one flush."""
    file = tmp_path / "evidence.jsonl"
    recorder = EvidenceRecorder(file, 20_000)
    for index in range(2000):
        recorder.record(Recorded(float(index), Evidence(primary_down="x" * 50)))
        if index % 10 == 9:
            recorder.flush()
    sizes = {each.name: each.stat().st_size for each in tmp_path.iterdir()}
    assert set(sizes) <= {"evidence.jsonl", "evidence.jsonl.1"}
    assert sum(sizes.values()) <= 22_000
    assert [each.at_s for each in read_trace(tmp_path / "evidence.jsonl.1")] != []


def test_what_waits_to_be_written_is_bounded(tmp_path) -> None:
    """A disk that does not take anything costs the oldest lines, not the memory."""
    recorder = EvidenceRecorder(tmp_path / "none" / "evidence.jsonl", 1 << 20)
    for index in range(MAX_WAITING + 10):
        recorder.record(Recorded(float(index)))
    assert len(recorder._waiting) == MAX_WAITING
    with pytest.raises(StoreError, match="cannot be recorded"):
        recorder.flush()
    assert len(recorder._waiting) == 0
