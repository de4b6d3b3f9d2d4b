"""Control messages on `/v1/control`: commands to an agent, and what it answers and pushes.

JSON text frames, tagged by `type`. Every command carries an `id` that its one reply repeats.
Commands refuse unknown fields; what an agent sends tolerates them.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.bounds import CommandId, CommandIdIfAny, Count, OverrideSeconds, Words
from edgeconsole.protocol.failsafe import OverrideKind, RouteConditions, Transition
from edgeconsole.protocol.jobs import (
    BudgetSeconds,
    Digest,
    Drop,
    Job,
    JobId,
    LimitBytes,
    LimitMs,
)
from edgeconsole.protocol.optimization import Objective, OptimizationReport
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample
from edgeconsole.protocol.thermal import ThermalConditions, ThermalState, ThermalTransition
from edgeconsole.specs import (
    EdgeDeploymentTier,
    EdgeDeviceSpec,
    LatencyRequirement,
    ModelOptimizationLevel,
)

SUBPROTOCOL: Final = "edgeconsole.v1"
PROTOCOL_VERSION: Final = 1
INFER_PATH: Final = "/v1/infer"
CONTROL_PATH: Final = "/v1/control"
MAX_MESSAGE_HEADER: Final = "EdgeConsole-Max-Message-Bytes"
"""The handshake's header that tells the largest inference message an agent takes."""
MAX_CONTROL_BYTES: Final = 64 * 1024
"""The largest control command (OWASP's figure for websocket messages)."""
MAX_REPLY_BYTES: Final = 4 * 1024 * 1024
"""The largest control reply a console accepts."""


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    id: str


class Hello(_Command, frozen=True, tag="hello"):
    """Say who is there and which protocol versions it speaks; the first command."""

    client: str
    versions: tuple[int, ...] = (PROTOCOL_VERSION,)


class GetStatus(_Command, frozen=True, tag="status"):
    """Ask for one `DeviceSample` now."""


class Subscribe(_Command, frozen=True, tag="subscribe"):
    """Ask for samples every `interval_s` and for all events after `after_seq` of `boot_id`."""

    interval_s: float = 1.0
    boot_id: str = ""
    after_seq: int = 0


class Unsubscribe(_Command, frozen=True, tag="unsubscribe"):
    """End samples and events on this connection."""


class ListModels(_Command, frozen=True, tag="list_models"):
    """Ask for all models in the device's store."""


class LoadModel(_Command, frozen=True, tag="load"):
    """Start a worker for a stored model; it does not get requests before `activate`.

    An empty `version` or `variant` means: the newest stored one. A `command_id` that was carried out
    before changes nothing: the reply says what it did then.
    """

    model: str
    version: str = ""
    variant: str = ""
    command_id: CommandIdIfAny = ""


class ActivateModel(_Command, frozen=True, tag="activate"):
    """Make a stored model the one that answers to its name, loading it first if need be.

    A `digest` names exactly one bundle; `version` and `variant` then do not count. Where `expected`
    names a bundle and another one answers by now, nothing changes. A `command_id` that was carried
    out before changes nothing: the reply says what it did then.
    """

    model: str
    version: str = ""
    variant: str = ""
    digest: str = ""
    expected: Digest = ""
    command_id: CommandIdIfAny = ""


class RollBackModel(_Command, frozen=True, tag="rollback"):
    """Let the bundle that answered before the present one answer again; likewise."""

    model: str
    expected: Digest = ""
    command_id: CommandIdIfAny = ""


class UnloadModel(_Command, frozen=True, tag="unload"):
    """Drain and end a model's workers; without `version` and `variant`, all of that name; likewise."""

    model: str
    version: str = ""
    variant: str = ""
    command_id: CommandIdIfAny = ""


class RemoveModel(_Command, frozen=True, tag="remove"):
    """Remove a stored bundle and the files that no other names; likewise once per `command_id`.

    Refused for what answers, what answered before it, and what anything else needs.
    """

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    command_id: CommandIdIfAny = ""


class CheckModel(_Command, frozen=True, tag="check"):
    """Read a stored bundle and compare each byte with its manifest; once per `command_id`.

    The last step of bringing a bundle that is not to answer: what is said to be stored was read there.
    """

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    command_id: CommandIdIfAny = ""


class Force(_Command, frozen=True, tag="force"):
    """Force a rung on a model's route for a time; it survives a restart of the agent.

    A `command_id` that was carried out before changes nothing: the reply says what it did then.
    A new force on the same model takes the place of the one before.
    """

    command_id: CommandId
    kind: OverrideKind
    actor: Words
    reason: Words
    for_s: OverrideSeconds
    model: str = ""
    """Empty: all models."""


class Release(_Command, frozen=True, tag="release"):
    """End what was forced, and let a latched route climb again; likewise once per `command_id`."""

    command_id: CommandId
    actor: Words
    reason: Words
    model: str = ""
    """Empty: everything that is forced or latched on the device."""
    kind: OverrideKind | None = None
    """End only what was forced of this kind, and no latch; `None`: whatever there is."""


class ForceThermal(_Command, frozen=True, tag="force_thermal"):
    """Force a thermal state for a time; it ends with the agent. Once per `command_id`.

    A cooler state than the policy's holds; a hotter one is for an hour at most, and a critical
    device ignores it.
    """

    command_id: CommandId
    actor: Words
    reason: Words
    state: ThermalState | None
    """`None`: end what is forced."""
    for_s: OverrideSeconds = 600.0


class Explain(_Command, frozen=True, tag="explain"):
    """Ask why: the latest transitions, and what the latest decisions looked at."""

    model: str = ""
    """Empty: all models."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=256)] = 32
    """The most transitions."""


class Optimize(_Command, frozen=True, tag="optimize"):
    """Queue an optimisation of a stored bundle; it does not change what answers.

    A `digest` names the bundle; without one it is the model's active bundle. A `command_id` that was
    carried out before queues nothing: the reply names the job it queued then.
    """

    actor: Words
    model: str = ""
    digest: Digest = ""
    level: ModelOptimizationLevel = ModelOptimizationLevel.FULL_OPTIMIZATION
    objective: Objective = Objective.P99
    max_drop: Drop = 1.0
    max_p99_ms: LimitMs | None = None
    max_memory_bytes: LimitBytes | None = None
    max_size_bytes: LimitBytes | None = None
    budget_s: BudgetSeconds = 600.0
    command_id: CommandIdIfAny = ""


class ListJobs(_Command, frozen=True, tag="list_jobs"):
    """Ask for the optimisation jobs, without their reports."""

    job_id: Annotated[str, msgspec.Meta(max_length=32)] = ""
    """Only this one; empty: all."""


class JobReport(_Command, frozen=True, tag="job_report"):
    """Ask for a job and its report."""

    job_id: JobId


class CancelJob(_Command, frozen=True, tag="cancel_job"):
    """End a job that is queued or running; the reply comes when it is over."""

    job_id: JobId
    actor: Words
    command_id: CommandIdIfAny = ""


class Backfill(_Command, frozen=True, tag="backfill"):
    """Ask for the telemetry that the device kept after record `seq` of its start `boot_id`.

    It acknowledges everything up to there for `sink`: the device may remove what all consoles have. An
    empty `boot_id` asks from the oldest record that is left.
    """

    sink: CommandId
    """Who asks; an id that a console's history keeps."""
    boot_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    seq: Count = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=64)] = 32
    """The most blocks; the device may send fewer."""


Command = (
    Hello
    | GetStatus
    | Subscribe
    | Unsubscribe
    | ListModels
    | LoadModel
    | ActivateModel
    | RollBackModel
    | UnloadModel
    | RemoveModel
    | CheckModel
    | Force
    | Release
    | ForceThermal
    | Explain
    | Optimize
    | ListJobs
    | JobReport
    | CancelJob
    | Backfill
)


class StoredBlock(msgspec.Struct, frozen=True):
    """Records `first` to `last` of one start of the agent; `data` is for `protocol.backlog.unpack`.

    A block may hold records from before the cursor, and grows until its minute is over.
    """

    boot_id: str
    first: Count
    last: Count
    data: bytes


class StoredModel(msgspec.Struct, frozen=True):
    """A model in a device's store; sizes in bytes."""

    model: str
    version: str
    variant: str
    digest: str
    task: str
    size_bytes: int
    loaded: bool
    active: bool
    needed: str = ""
    """Why it cannot be removed; empty: nothing needs it."""

    @property
    def key(self) -> str:
        """Return `model/version/variant`."""
        return f"{self.model}/{self.version}/{self.variant}"


class _Reply(msgspec.Struct, frozen=True, tag_field="type"):
    id: str


class HelloReply(_Reply, frozen=True, tag="hello"):
    """Who the agent is."""

    version: int
    agent_id: str
    agent_version: str
    boot_id: str
    tier: EdgeDeploymentTier
    latency_requirement: LatencyRequirement
    device: EdgeDeviceSpec
    platform: str


class StatusReply(_Reply, frozen=True, tag="status"):
    """The device now."""

    sample: DeviceSample


class ModelsReply(_Reply, frozen=True, tag="models"):
    """What is in the store."""

    models: tuple[StoredModel, ...]


class ExplainReply(_Reply, frozen=True, tag="explained"):
    """Why: transitions, newest first, and the latest conditions of each route and of the heat."""

    transitions: tuple[Transition, ...]
    routes: tuple[RouteConditions, ...]
    thermal: ThermalConditions | None = None
    """What the thermal policy's latest decision looked at."""
    thermal_transitions: tuple[ThermalTransition, ...] = ()


class OptimizeReply(_Reply, frozen=True, tag="job_queued"):
    """The job is in the queue; `ahead` others come before it."""

    job_id: str
    ahead: Count


class JobsReply(_Reply, frozen=True, tag="jobs"):
    """The jobs: the running one, those that wait in their order, then the finished, newest first."""

    jobs: tuple[Job, ...]


class JobReportReply(_Reply, frozen=True, tag="job_report"):
    """A job and what it found."""

    job: Job
    report: OptimizationReport


class BackfillReply(_Reply, frozen=True, tag="backfill"):
    """What was missed, oldest first."""

    blocks: tuple[StoredBlock, ...]
    more: bool
    """Whether there is more after the last of them."""
    left: Count | None = None
    """How many blocks there are after the last of them; `None`: the agent does not tell."""


class Done(_Reply, frozen=True, tag="done"):
    """The command was carried out; `message` says what that meant."""

    message: str = ""


class Failed(_Reply, frozen=True, tag="failed"):
    """The command was refused or failed; nothing changed unless `error` says so."""

    code: str
    error: str
    hint: str = ""


class SamplePush(msgspec.Struct, frozen=True, tag_field="type", tag="sample"):
    """A sample, pushed to a subscriber."""

    sample: DeviceSample


class EventPush(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """An event, pushed to a subscriber."""

    event: DeviceEvent


Reply = (
    HelloReply
    | StatusReply
    | ModelsReply
    | ExplainReply
    | OptimizeReply
    | JobsReply
    | JobReportReply
    | BackfillReply
    | Done
    | Failed
)
AgentMessage = Reply | SamplePush | EventPush

_command_decoder: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(Command)
_agent_decoder: Final[msgspec.json.Decoder[AgentMessage]] = msgspec.json.Decoder(AgentMessage)
_encoder: Final = msgspec.json.Encoder()


def encode(message: Command | AgentMessage) -> str:
    """Encode any control message as a text frame."""
    return _encoder.encode(message).decode()


def decode_command(frame: str | bytes) -> Command:
    """Decode a command; raises `RequestError` with code `MALFORMED`."""
    if isinstance(frame, bytes):
        raise RequestError(ErrorCode.MALFORMED, "control commands are JSON text frames, not binary")
    try:
        return _command_decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise RequestError(ErrorCode.MALFORMED, f"not a valid command: {error}") from error


def decode_agent_message(frame: str | bytes) -> AgentMessage:
    """Decode what an agent sent; raises `RequestError` with code `MALFORMED`."""
    try:
        return _agent_decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise RequestError(
            ErrorCode.MALFORMED, f"the agent's message cannot be read: {error}"
        ) from error
