"""What the harness asks of its client processes, and what they answer: one JSON line each.

Times are nanoseconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import msgspec

HTTP = "benchmarks.wire:HttpConnection"
WEBSOCKET = "benchmarks.wire:WebSocketConnection"


class Endpoint(msgspec.Struct, frozen=True):
    """Where a server listens on loopback, and how it is spoken to."""

    port: int
    transport: str
    """The connection class, as `module:class`."""
    path: str = "/"
    token: str = ""
    content_type: str = "application/octet-stream"


class Group(msgspec.Struct, frozen=True):
    """Closed-loop clients that send one request over and over, each on its own connection."""

    endpoint: Endpoint
    request: bytes
    clients: int
    pause_ms: float = 0.0
    """The mean pause between an answer and the next request; 0: none."""


class ClosedLoop(msgspec.Struct, frozen=True, tag=True):
    """Run groups of clients side by side; what ends within `warm_s` does not count."""

    groups: tuple[Group, ...]
    warm_s: float
    seconds: float
    seed: int = 1


class OpenLoop(msgspec.Struct, frozen=True, tag=True):
    """Send requests at Poisson times, whether or not answers come."""

    endpoint: Endpoint
    request: bytes
    id_at: int
    """Where the request holds its id of eight digits; negative: one request a connection."""
    rate_per_s: float
    seconds: float
    connections: int
    grace_s: float
    """How long after the last arrival answers are still waited for."""
    seed: int


class EdgeClients(msgspec.Struct, frozen=True, tag=True):
    """Closed-loop clients that use `edgeconsole.client.EdgeClient`."""

    endpoint: Endpoint
    model: str
    input_name: str
    shape: tuple[int, ...]
    clients: int
    warm_s: float
    seconds: float


class Bare(msgspec.Struct, frozen=True, tag=True):
    """Call a model in the process itself, over and over."""

    engine: str
    """`onnx` or `torch`."""
    model: str
    """The path of an ONNX file, or the name of a model of `benchmarks.models`."""
    shape: tuple[int, ...]
    """The shape of the input, its first dimension the batch."""
    warm_s: float
    seconds: float


class Outcome(msgspec.Struct):
    """What one group of clients saw. Lists run side by side, in the order of the ends."""

    took_ns: list[int] = []
    """How long each good answer took."""
    ended_ns: list[int] = []
    """When it came."""
    refused_ns: list[int] = []
    """How long each refusal took."""
    failed: int = 0
    """Connections that broke."""
    unanswered: int = 0
    """Requests that nothing came back for in time."""
    seconds: float = 0.0
    first_refusal: str = ""

    @property
    def rate_per_s(self) -> float:
        """Return good answers a second."""
        return len(self.took_ns) / self.seconds if self.seconds else 0.0


class Done(msgspec.Struct, tag=True):
    """A job's outcomes, one for each group."""

    outcomes: list[Outcome]


class Problem(msgspec.Struct, tag=True):
    """Why a job could not be done."""

    reason: str


Job = ClosedLoop | OpenLoop | EdgeClients | Bare
Report = Done | Problem

encode = msgspec.json.Encoder().encode
decode_job = msgspec.json.Decoder(Job).decode
decode_report = msgspec.json.Decoder(Report).decode
