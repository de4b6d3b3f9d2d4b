"""Every error EdgeConsole raises on purpose; imports nothing but the standard library.

EdgeConsoleError
├── ConfigError            a file or a setting is wrong (file, line or key, what was expected)
├── BundleError            a bundle is damaged, incomplete or not what its manifest says
│   └── PackError          a model could not be packed
├── ProtocolError          a peer said something that cannot be understood
│   ├── AuthError          the peer does not accept who we are
│   └── BlockFormatError   what it kept is of a format that this program does not know
├── RequestError           one request is refused; the connection lives on (`ErrorCode` says why)
├── LinkError              a device cannot be reached, or the connection broke
├── BackendError           an engine could not load or run a model
└── StoreError             local durable state cannot be read or written

Every message says what, where and, in `hint`, what to do.
"""

from __future__ import annotations

from enum import StrEnum


class EdgeConsoleError(Exception):
    """The root of all expected errors: a sentence for people and, if there is one, what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Join message and hint in one line."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(EdgeConsoleError):
    """A configuration file or setting is wrong."""


class BundleError(EdgeConsoleError):
    """A bundle is damaged, incomplete or not what its manifest says."""


class PackError(BundleError):
    """A model could not be packed into a bundle."""


class ProtocolError(EdgeConsoleError):
    """A peer said something that cannot be understood."""


class AuthError(ProtocolError):
    """The peer does not accept the credentials, or we do not accept the peer's."""


class LinkError(EdgeConsoleError):
    """A device cannot be reached, or the connection to it broke."""


class BackendError(EdgeConsoleError):
    """An inference engine could not load or run a model."""


class StoreError(EdgeConsoleError):
    """Local durable state cannot be read or written."""


class ErrorCode(StrEnum):
    """Why a request was refused; stable names that programs may compare with."""

    MALFORMED = "MALFORMED"
    """The frame is not valid JSON, not a valid binary frame, or lacks a required field."""
    FRAME_TOO_LARGE = "FRAME_TOO_LARGE"
    """The message is larger than the server's limit."""
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """The token is missing or wrong."""
    FORBIDDEN = "FORBIDDEN"
    """The peer is not allowed to do this (for example, a handshake with an `Origin`)."""
    UNKNOWN_MODEL = "UNKNOWN_MODEL"
    """No model of that name (or version) is loaded."""
    BAD_CURSOR = "BAD_CURSOR"
    """The device never wrote the record that a console says it has."""
    UNKNOWN_JOB = "UNKNOWN_JOB"
    """The device has no optimisation job with that id, or no longer."""
    BAD_INPUT_NAME = "BAD_INPUT_NAME"
    """An input is missing, repeated, or not one the model has."""
    BAD_DATATYPE = "BAD_DATATYPE"
    """An input has another datatype than the model's."""
    BAD_SHAPE = "BAD_SHAPE"
    """An input has another rank or dimension than the model's."""
    BAD_DATA_SIZE = "BAD_DATA_SIZE"
    """The number of values or bytes does not match the shape."""
    BAD_VALUE = "BAD_VALUE"
    """A value cannot be represented in the datatype, or is NaN or infinite."""
    BAD_PARAMETER = "BAD_PARAMETER"
    """A request parameter is out of its range."""
    DUPLICATE_ID = "DUPLICATE_ID"
    """A request with this `id` is still in flight on the connection."""
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """The deadline passed before an answer was ready."""
    DEADLINE_UNREACHABLE = "DEADLINE_UNREACHABLE"
    """The answer would come too late, so the request was not taken; the estimate is with it."""
    QUEUE_FULL = "QUEUE_FULL"
    """Too many requests wait already; try again later or elsewhere."""
    THROTTLED = "THROTTLED"
    """The device is hot and answers fewer requests a second; the time to wait is with it."""
    NOT_READY = "NOT_READY"
    """The model has no worker that can serve now."""
    CANCELLED = "CANCELLED"
    """The client cancelled the request."""
    MODEL_FAILED = "MODEL_FAILED"
    """The model ran and failed, or its output broke the manifest."""
    WORKER_LOST = "WORKER_LOST"
    """The worker process ended while it had the request, twice."""
    DEGRADED_ONLY = "DEGRADED_ONLY"
    """Only a rung below the one the request allows could have answered."""
    SAFE_STOP = "SAFE_STOP"
    """No rung of the failsafe ladder can answer, or an operator stopped the model."""
    CONFLICT = "CONFLICT"
    """The command does not fit the present state."""
    SHUTTING_DOWN = "SHUTTING_DOWN"
    """The agent is going down."""
    INTERNAL = "INTERNAL"
    """A defect in the agent; its log has the details."""

    @classmethod
    def parse(cls, text: str) -> ErrorCode:
        """Return a known code; a peer newer than us may send others, which count as `INTERNAL`."""
        return cls(text) if text in cls.__members__ else cls.INTERNAL


class BlockFormatError(ProtocolError):
    """What a device kept is of a format that this program does not know."""


class RequestError(EdgeConsoleError):
    """One request is refused; the connection lives on.

    `code` is the machine-readable reason. Raised by the server's own code on the way to a reply,
    and by the client for a reply that carries an error.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        hint: str = "",
        estimated_wait_ms: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.estimated_wait_ms = estimated_wait_ms
        """How long the request would have waited, where the refusal is about time."""
