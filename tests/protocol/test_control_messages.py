"""Control messages: strict towards consoles, tolerant towards agents, bounded in both directions."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.control import (
    ActivateModel,
    AgentMessage,
    Backfill,
    BackfillReply,
    CancelJob,
    CheckModel,
    Command,
    Done,
    EventPush,
    Explain,
    ExplainReply,
    Failed,
    Force,
    GetStatus,
    Hello,
    HelloReply,
    JobReport,
    JobReportReply,
    JobsReply,
    ListJobs,
    ListModels,
    LoadModel,
    ModelsReply,
    Optimize,
    OptimizeReply,
    Release,
    RemoveModel,
    RollBackModel,
    SamplePush,
    StatusReply,
    StoredBlock,
    StoredModel,
    Subscribe,
    UnloadModel,
    Unsubscribe,
    decode_agent_message,
    decode_command,
    encode,
)
from edgeconsole.protocol.failsafe import (
    BreakerPhase,
    Condition,
    Override,
    OverrideKind,
    RouteConditions,
    RouteSample,
    RungSample,
    Transition,
)
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.jobs import Job, JobBundle, JobProgress, JobState
from edgeconsole.protocol.optimization import (
    Constraints,
    MeasuredOn,
    Objective,
    OptimizationReport,
    Variant,
    VariantStatus,
)
from edgeconsole.protocol.telemetry import (
    DeviceEvent,
    DeviceSample,
    ModelSample,
    ModelState,
    Quality,
    Reading,
    Severity,
)
from edgeconsole.specs import (
    AgentState,
    ComputeUnits,
    EdgeDeploymentTier,
    EdgeDeviceSpec,
    LatencyRequirement,
    ModelOptimizationLevel,
    ThermalConstraints,
)

MODEL = ModelSample(
    model="digits",
    version="1",
    variant="fp32",
    digest="d" * 64,
    state=ModelState.FAILED,
    active=True,
    deadline_ms=50.0,
    worker_pids=(1, 2),
    p50_ms=1.5,
    rss_bytes=1 << 30,
    reason="worker lost",
)
MET = Condition("breaker_error_share", True, 0.6, 0.5, held_s=0.0, detail="12 of 20 calls")
OVERRIDE = Override(OverrideKind.FALLBACK, "digits", "kim", "tests", "c" * 32, 1.75e9, 1.75e9 + 60)
TRANSITION = Transition(
    "digits", Rung.PRIMARY, Rung.FALLBACK, "operator", 1.75e9, (MET,), "kim", "tests"
)
ROUTE = RouteSample(
    model="digits",
    rung=Rung.FALLBACK,
    held_s=4.5,
    cause="operator",
    override=OVERRIDE,
    latched=True,
    alarm="it keeps changing",
    breaker=BreakerPhase.HALF_OPEN,
    rungs=(
        RungSample(Rung.PEER, False, "no peers yet"),
        RungSample(Rung.FALLBACK, True, "", "tiny", "1", "fp32", 1 << 24, 2.5, 0.4),
    ),
    answers={"primary": 10, "fallback": 2},
    hedged_total=2,
)
SAMPLE = DeviceSample(
    device_id="d",
    boot_id="b",
    seq=3,
    time_unix_s=1.75e9,
    state=AgentState.ERROR,
    uptime_s=12.5,
    temp_c=Reading(71.5, "°C", "thermal_zone0", Quality.MEASURED),
    power_w=Reading(unit="W", reason="no counter"),
    cpu_percent=3.0,
    memory_percent=None,
    memory_used_bytes=None,
    agent_rss_bytes=1 << 20,
    connections=2,
    models=(MODEL,),
    routes=(ROUTE,),
)
EVENT = DeviceEvent("d", "b", 4, 1.75e9, Severity.WARNING, "worker_lost", "it ended\nbadly")
MOVED = DeviceEvent("d", "b", 5, 1.75e9, Severity.WARNING, "rung_changed", "down", TRANSITION)
FORCE = Force("9", "c" * 32, OverrideKind.FAILSAFE, "kim", "smoke on line 2", 3600.0, "digits")
OPTIMIZE = Optimize(
    "12",
    "kim",
    "digits",
    level=ModelOptimizationLevel.QUANTIZATION,
    objective=Objective.MEMORY,
    max_p99_ms=2.5,
    max_memory_bytes=1 << 20,
    budget_s=90.0,
)
VARIANT = Variant(
    name="int8",
    technique="static int8",
    engine="onnxruntime",
    threads=1,
    ci=(1.5, 2.5),
    speedup=2.0,
    status=VariantStatus.EXCLUDED,
    reason="too large",
)
JOB = Job(
    job_id="j",
    state=JobState.RUNNING,
    bundle=JobBundle("digits", "1", "fp32", "d" * 64),
    level=ModelOptimizationLevel.QUANTIZATION,
    objective=Objective.SIZE,
    constraints=Constraints(max_size_bytes=9),
    budget_s=90.0,
    actor="kim",
    queued_unix_s=1.75e9,
    progress=JobProgress("time", "int8", 1, 7, 80.5),
    recommended=JobBundle("digits", "1", "int8", "e" * 64),
    serving_p99_ms_before=1.5,
)
REPORT = OptimizationReport(
    model="digits",
    version="1",
    level=ModelOptimizationLevel.QUANTIZATION,
    objective=Objective.SIZE,
    constraints=Constraints(),
    baseline=VARIANT,
    variants=(VARIANT,),
    recommended=None,
    why=("nothing fits",),
    device=MeasuredOn(
        fingerprint="f", cpu="c", cores=2, machine="m", engines={"onnxruntime": "1.31"}
    ),
    evaluation="evaluation, 10 rows",
)
COMMANDS: list[Command] = [
    Hello("1", "edgeconsole", (1, 2)),
    GetStatus("2"),
    Subscribe("3", 0.5, "b", 9),
    Unsubscribe("4"),
    ListModels("5"),
    LoadModel("6", "digits", command_id="c" * 32),
    ActivateModel("7", "digits", "1"),
    UnloadModel("8", "digits", "1", "int8", "c" * 32),
    FORCE,
    Release("10", "d" * 32, "kim", "the smoke is gone"),
    Explain("11", "digits", 5),
    OPTIMIZE,
    ListJobs("13", "j"),
    JobReport("14", "j"),
    CancelJob("15", "j", "kim"),
    Backfill("16", "s" * 32, "boot-1", 7, 64),
    RemoveModel("17", "d" * 64, "c" * 32),
    RollBackModel("18", "digits", "d" * 64),
    CheckModel("19", "d" * 64, "c" * 32),
]
MESSAGES: list[AgentMessage] = [
    HelloReply(
        id="1",
        version=1,
        agent_id="a",
        agent_version="0.1.0",
        boot_id="b",
        tier=EdgeDeploymentTier.LOCAL_EDGE,
        latency_requirement=LatencyRequirement.REAL_TIME,
        device=EdgeDeviceSpec(
            device_id="d",
            compute_units=ComputeUnits(cpu_cores=4),
            thermal_constraints=ThermalConstraints(max_temp_c=95.0),
        ),
        platform="Linux aarch64",
    ),
    StatusReply("2", SAMPLE),
    ModelsReply("3", (StoredModel("digits", "1", "fp32", "d", "classification", 9, True, False),)),
    Done("4", "done"),
    Failed("5", "CONFLICT", "no", "wait"),
    SamplePush(SAMPLE),
    EventPush(EVENT),
    EventPush(MOVED),
    ExplainReply("6", (TRANSITION,), (RouteConditions("digits", Rung.FALLBACK, (MET,)),)),
    OptimizeReply("7", "j", 2),
    JobsReply("8", (JOB,)),
    JobReportReply("9", JOB, REPORT),
    BackfillReply("10", (StoredBlock("boot-1", 1, 60, b"\0\xff"),), more=True),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: type(each).__name__)
def test_commands_round_trip(command: Command) -> None:
    """What a console sends is what an agent reads, of the same type."""
    assert decode_command(encode(command)) == command


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_agent_messages_round_trip(message: AgentMessage) -> None:
    """What an agent sends is what a console reads, as text or as bytes."""
    frame = encode(message)
    assert decode_agent_message(frame) == message
    assert decode_agent_message(frame.encode()) == message


@given(
    st.one_of(
        st.builds(Subscribe, st.text(), st.floats(0.1, 60.0), st.text(), st.integers(0, 2**53)),
        st.builds(LoadModel, st.text(), st.text(), st.text(), st.text()),
        st.builds(Hello, st.text(), st.text(), st.lists(st.integers(0, 99)).map(tuple)),
    )
)
def test_any_text_in_commands_survives(command: Command) -> None:
    """Quotes, control characters and all of Unicode pass through."""
    assert decode_command(encode(command)) == command


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: type(each).__name__)
def test_commands_with_unknown_fields_are_refused(command: Command) -> None:
    """A field the agent does not know may have meant something: it is named and refused."""
    fields = json.loads(encode(command)) | {"force": True}
    with pytest.raises(RequestError, match="unknown field `force`") as caught:
        decode_command(json.dumps(fields))
    assert caught.value.code is ErrorCode.MALFORMED


def grown(value: Any) -> Any:
    """Return decoded JSON with a field more in every object but `device` and counts by name."""
    if isinstance(value, list):
        return [grown(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {
        name: each if name in ("device", "answers") else grown(each) for name, each in value.items()
    }
    return {**inner, "new_in_the_future": [1]}


class _OldSample(msgspec.Struct):
    device_id: str
    state: str


class _OldPush(msgspec.Struct, tag_field="type", tag="sample"):
    sample: _OldSample


def test_an_old_console_understands_telemetry_with_routes() -> None:
    """A console from before the ladder reads what it knows, and what it does not know costs nothing."""
    old = msgspec.json.decode(encode(SamplePush(SAMPLE)), type=_OldPush)
    assert old.sample == _OldSample("d", "error")


def test_telemetry_of_an_old_agent_has_no_routes() -> None:
    """An agent from before the ladder is understood: it has no routes, its events no transitions."""
    fields = json.loads(encode(SamplePush(SAMPLE)))
    del fields["sample"]["routes"]
    message = decode_agent_message(json.dumps(fields))
    assert isinstance(message, SamplePush)
    assert message.sample.routes == ()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_agent_messages_with_unknown_fields_are_understood(message: AgentMessage) -> None:
    """An older console can watch a newer agent: what it does not know, it passes over."""
    assert decode_agent_message(json.dumps(grown(json.loads(encode(message))))) == message


def changed(message: AgentMessage | Command, *path: str | int, to: Any) -> str:
    """Return a message's frame with one value changed."""
    fields = json.loads(encode(message))
    inner = fields
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return json.dumps(fields)


BAD_COMMANDS: dict[str, tuple[str | bytes, str]] = {
    "binary": (encode(COMMANDS[0]).encode(), "not binary"),
    "empty": ("", "not a valid command"),
    "not JSON": ("{", "not a valid command"),
    "not an object": ("[]", "Expected `object`"),
    "no type": ('{"id":"1"}', "missing required field `type`"),
    "unknown type": ('{"type":"reboot","id":"1"}', "reboot"),
    "no id": ('{"type":"status"}', "missing required field `id`"),
    "id of a wrong type": ('{"type":"status","id":1}', "$.id"),
    "no model": ('{"type":"load","id":"1"}', "missing required field `model`"),
    "interval of a wrong type": ('{"type":"subscribe","id":"1","interval_s":"1"}', "interval_s"),
    "interval infinite": ('{"type":"subscribe","id":"1","interval_s":1e999}', "out of range"),
    "interval NaN": ('{"type":"subscribe","id":"1","interval_s":NaN}', "malformed"),
    "deep nesting": ('{"type":' + "[" * 100_000, "not a valid command"),
    "deep nesting in an unknown field": (
        '{"a":' + "[" * 100_000 + "]" * 100_000 + ',"type":"status","id":"1"}',
        "not a valid command",
    ),
    "lone surrogate": ('{"type":"status","id":"\ud800"}', "surrogate"),
    "an agent's message": (encode(Done("1")), "done"),
    "force of an unknown kind": (changed(FORCE, "kind", to="panic"), "panic"),
    "force without a reason": (changed(FORCE, "reason", to=""), "$.reason"),
    "force with a long reason": (changed(FORCE, "reason", to="x" * 201), "$.reason"),
    "force by nobody": (changed(FORCE, "actor", to=""), "$.actor"),
    "force without a time limit": (changed(FORCE, "for_s", to=None), "$.for_s"),
    "force for no time": (changed(FORCE, "for_s", to=0), "$.for_s"),
    "force for ever": (changed(FORCE, "for_s", to=8 * 86_400), "$.for_s"),
    "force with an id that others may have": (changed(FORCE, "command_id", to="1"), "command_id"),
    "optimize for nobody": (changed(OPTIMIZE, "actor", to=""), "$.actor"),
    "optimize no bundle's digest": (changed(OPTIMIZE, "digest", to="../models"), "$.digest"),
    "optimize to an unknown level": (changed(OPTIMIZE, "level", to="magic"), "$.level"),
    "optimize for an unknown end": (changed(OPTIMIZE, "objective", to="fame"), "$.objective"),
    "optimize in no time": (changed(OPTIMIZE, "budget_s", to=9.9), "$.budget_s"),
    "optimize for ever": (changed(OPTIMIZE, "budget_s", to=86_401), "$.budget_s"),
    "a drop below zero": (changed(OPTIMIZE, "max_drop", to=-0.1), "$.max_drop"),
    "a drop without end": (changed(OPTIMIZE, "max_drop", to=1e7), "$.max_drop"),
    "a drop that is infinite": (
        encode(OPTIMIZE).replace('"max_drop":1.0', '"max_drop":1e999'),
        "out of range",
    ),
    "a latency of nothing": (changed(OPTIMIZE, "max_p99_ms", to=0), "$.max_p99_ms"),
    "no memory": (changed(OPTIMIZE, "max_memory_bytes", to=0), "$.max_memory_bytes"),
    "a size below zero": (changed(OPTIMIZE, "max_size_bytes", to=-1), "$.max_size_bytes"),
    "backfill for nobody": (changed(Backfill("1", "s" * 32), "sink", to=""), "$.sink"),
    "backfill of nothing": (changed(Backfill("1", "s" * 32), "limit", to=0), "$.limit"),
    "cancel by nobody": (changed(CancelJob("1", "j", "x"), "actor", to=""), "$.actor"),
    "check no bundle's digest": (changed(CheckModel("1", "d" * 64), "digest", to="d"), "$.digest"),
    "remove no bundle's digest": (changed(RemoveModel("1", "d" * 64), "digest", to=""), "$.digest"),
    "activate with an id that others may have": (
        changed(ActivateModel("1", "m"), "command_id", to="7"),
        "$.command_id",
    ),
    "activate in place of something strange": (
        changed(ActivateModel("1", "m"), "expected", to="fp32"),
        "$.expected",
    ),
    "the report of no job": (changed(JobReport("1", "j"), "job_id", to=""), "$.job_id"),
    "explain without end": (changed(Explain("1"), "limit", to=257), "$.limit"),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_bad_commands_are_refused(case: str) -> None:
    """Whatever is wrong with a command is MALFORMED, in one line that says what and where."""
    frame, words = BAD_COMMANDS[case]
    with pytest.raises(RequestError) as caught:
        decode_command(frame)
    assert caught.value.code is ErrorCode.MALFORMED
    assert words in caught.value.message
    assert "\n" not in caught.value.message


SAMPLED = SamplePush(SAMPLE)
BAD_MESSAGES: dict[str, str | bytes] = {
    "empty": "",
    "not UTF-8": b'{"type":"done","id":"\xff"}',
    "lone surrogate": '{"type":"done","id":"\ud800"}',
    "deep nesting": '{"type":"done","new":' + "[" * 100_000,
    "a command": encode(GetStatus("1")),
    "deadline zero": changed(SAMPLED, "sample", "models", 0, "deadline_ms", to=0),
    "deadline negative": changed(SAMPLED, "sample", "models", 0, "deadline_ms", to=-5.0),
    "number too large for a database": changed(EventPush(EVENT), "event", "seq", to=2**64),
    "number below zero": changed(EventPush(EVENT), "event", "seq", to=-1),
    "counter too large": changed(SAMPLED, "sample", "models", 0, "late_total", to=2**63),
    "memory below zero": changed(SAMPLED, "sample", "memory_used_bytes", to=-1),
    "time before time": changed(SAMPLED, "sample", "time_unix_s", to=-1.0),
    "time after all time": changed(EventPush(EVENT), "event", "time_unix_s", to=1e300),
    "unknown state": changed(SAMPLED, "sample", "state", to="dancing"),
    "unknown rung": changed(SAMPLED, "sample", "routes", 0, "rung", to="cellar"),
    "answers too many": changed(SAMPLED, "sample", "routes", 0, "answers", "x", to=2**60),
    "a transition before time": changed(
        EventPush(MOVED), "event", "transition", "time_unix_s", to=-1.0
    ),
}


@pytest.mark.parametrize("case", BAD_MESSAGES)
def test_bad_agent_messages_are_refused(case: str) -> None:
    """What no chart or database could hold does not get past the decoder."""
    with pytest.raises(RequestError, match="the agent's message cannot be read") as caught:
        decode_agent_message(BAD_MESSAGES[case])
    assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize("message", [*COMMANDS, *MESSAGES, SAMPLE, EVENT, MODEL, ROUTE])
def test_messages_cannot_be_changed(message: msgspec.Struct) -> None:
    """What was heard stays as it was heard, whoever holds it."""
    with pytest.raises(AttributeError):
        setattr(message, message.__struct_fields__[0], None)
