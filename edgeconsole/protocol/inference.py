"""Inference messages: Open Inference Protocol requests and answers, as text and binary frames.

A *text frame* is the V2 JSON object. A *binary frame* is V2's binary-data extension in one message:

    bytes 0..3    length of the JSON header, unsigned, little-endian
    bytes 4..     the JSON header; a tensor has `parameters.binary_data_size` instead of `data`
    zero padding to a multiple of 64
    the tensors in the header's order, raw little-endian, each padded to a multiple of 64

64 bytes is a cache line and the alignment vector units want; a tensor keeps it through shared
memory to the model. Source of names: KServe Open Inference Protocol V2, "binary tensor data".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.tensors import Array, Datatype, element_count

ALIGNMENT: Final = 64
MAX_HEADER_BYTES: Final = 1 << 20
MAX_PRIORITY: Final = 10
DEFAULT_PRIORITY: Final = 5
MAX_ID_LENGTH: Final = 128
MAX_RANK: Final = 16
MAX_ELEMENTS: Final = 1 << 31
"""More than any message can hold; a dimension of 0 counts as 1 here, as numpy has it."""
HEADER_LENGTH: Final = struct.Struct("<I")
_PADDING: Final = bytes(ALIGNMENT)
_JSON_TYPES: Final[dict[str, frozenset[type]]] = {
    "f": frozenset({int, float}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
}
"""The JSON types of values by the kind of numpy dtype."""


class Rung(StrEnum):
    """The rung of the failsafe ladder an answer came from."""

    PRIMARY = "primary"
    SHED = "shed"
    PEER = "peer"
    FALLBACK = "fallback"
    LAST_GOOD = "last_good"
    STATIC = "static"
    STOP = "stop"

    depth: int
    """How far below the primary it is, 0 to 6; set below, once, so that each request reads it for little."""


for _depth, _rung in enumerate(Rung):
    _rung.depth = _depth


class PriorityClass(StrEnum):
    """Three bands of priorities: queues are bounded, and figures kept, for each."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @classmethod
    def of(cls, priority: int) -> PriorityClass:
        """Return the class of a priority: 0-3 low, 4-6 normal, 7-10 high."""
        return _CLASSES[priority]


_CLASSES: Final = (
    *(PriorityClass.LOW,) * 4,
    *(PriorityClass.NORMAL,) * 3,
    *(PriorityClass.HIGH,) * 4,
)


class RequestParameters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a client may ask of one request.

    `deadline_ms` counts from the moment the agent reads the request. `priority` is 0 (first to
    wait) to 10 (first to go).
    """

    deadline_ms: float | None = None
    priority: int = DEFAULT_PRIORITY
    cache: bool = True
    """Whether an answer may come from the cache, where the model has one."""
    binary_data_output: bool | None = None
    """Whether outputs come as binary; by default they come as the request did."""
    allow: Rung | None = None
    """The lowest rung that may answer; by default, whatever the device has."""


class TensorParameters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """V2 per-tensor parameters."""

    binary_data_size: int | None = None


class WireTensor(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tensor as the JSON header describes it; `data` is flat or nested, row-major."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any] | None = None
    parameters: TensorParameters = msgspec.field(default_factory=TensorParameters)


class OutputRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One output a client wants; without any, it gets all."""

    name: str


class ClientFrame(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a client sends on `/v1/infer`: an inference request, or `cancel` with a request's id."""

    model_name: str = ""
    model_version: str = ""
    id: str = ""
    parameters: RequestParameters = msgspec.field(default_factory=RequestParameters)
    inputs: list[WireTensor] = []
    outputs: list[OutputRequest] = []
    cancel: str | None = None


class AnswerParameters(msgspec.Struct, omit_defaults=True):
    """What an answer says about itself; times in milliseconds, measured on the device."""

    rung: Rung = Rung.PRIMARY
    variant: str = ""
    device: str = ""
    degraded: bool = False
    queue_ms: float = 0.0
    infer_ms: float = 0.0
    total_ms: float = 0.0
    cached: bool = False
    """Computed for an earlier or simultaneous request with the same inputs."""
    failsafe: bool = False
    """A declared constant: no model looked at the inputs."""
    shed: int = 0
    """While the device sheds load: the least priority it still takes."""
    age_ms: float | None = None
    """How old an answer of the rung `last_good` is."""


class ServerFrame(msgspec.Struct, omit_defaults=True):
    """What an agent sends on `/v1/infer`: an answer, or `error` with its `code` and `hint`."""

    id: str = ""
    model_name: str = ""
    model_version: str = ""
    parameters: AnswerParameters | None = None
    outputs: list[WireTensor] = []
    error: str | None = None
    code: str = ""
    hint: str = ""
    estimated_wait_ms: float | None = None


TensorPlace = tuple[str, np.dtype[Any], tuple[int, ...], int]
"""A binary tensor's name, dtype, shape, and offset from the first tensor."""


@dataclass(slots=True, eq=False)
class RequestLayout:
    """What requests that differ only in their id and their values have in common."""

    tensors: tuple[TensorPlace, ...]
    fit: object = None
    """What the receiver found out about it; kept here so that it need not find out again."""


class InferRequest(msgspec.Struct):
    """A decoded request: arrays instead of wire tensors. Binary inputs are views into the frame."""

    model_name: str
    model_version: str
    id: str
    deadline_ms: float | None
    priority: int
    inputs: dict[str, Array]
    output_names: tuple[str, ...]
    binary_output: bool
    cache: bool = True
    allow: Rung | None = None
    layout: RequestLayout | None = None
    """Set where other requests have the same names, shapes and datatypes; it is theirs too."""


_client_decoder: Final = msgspec.json.Decoder(ClientFrame)
_server_decoder: Final = msgspec.json.Decoder(ServerFrame)
_encoder: Final = msgspec.json.Encoder()


def decode_header(header: str | bytes | memoryview) -> ClientFrame:
    """Return a client's frame without its tensors.

    Raises `RequestError`, without the request's id because it may be unreadable: use `peek_id` for
    the reply.
    """
    try:
        return _client_decoder.decode(header)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise RequestError(
            ErrorCode.MALFORMED, f"the request is not a valid V2 inference request: {error}"
        ) from error


def decode_request(
    message: ClientFrame, body: memoryview | None, offset: int, *, alignment: int = ALIGNMENT
) -> InferRequest:
    """Return a request whose JSON part is decoded; binary tensors lie in `body` from `offset` on.

    Raises `RequestError`.
    """
    _check_request(message)
    inputs: dict[str, Array] = {}
    for tensor in message.inputs:
        if tensor.name in inputs:
            raise RequestError(ErrorCode.BAD_INPUT_NAME, f"input {tensor.name!r} is given twice")
        inputs[tensor.name], offset = _tensor_array(tensor, body, offset, alignment)
    if body is not None and offset not in (len(body), aligned(len(body), alignment)):
        raise RequestError(
            ErrorCode.BAD_DATA_SIZE,
            f"the frame has {len(body)} bytes, but its header describes {offset}",
        )
    binary = message.parameters.binary_data_output
    return InferRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        id=message.id,
        deadline_ms=message.parameters.deadline_ms,
        priority=message.parameters.priority,
        inputs=inputs,
        output_names=tuple(output.name for output in message.outputs),
        binary_output=body is not None if binary is None else binary,
        cache=message.parameters.cache,
        allow=message.parameters.allow,
    )


class _OnlyId(msgspec.Struct):
    id: str = ""


_id_decoder: Final = msgspec.json.Decoder(_OnlyId)


def peek_id(frame: str | bytes) -> str:
    """Return the request id of a frame that failed to decode, or "" if it cannot be read."""
    try:
        return _id_decoder.decode(split_frame(frame)[0]).id[:MAX_ID_LENGTH]
    except (msgspec.MsgspecError, RequestError, RecursionError, UnicodeError):
        return ""


def encode_request(
    frame: ClientFrame, inputs: Mapping[str, Array], *, binary: bool = True
) -> str | bytes:
    """Encode a request whose tensors are `inputs`; raises `ValueError` for a dtype V2 lacks."""
    frame.inputs = [wire_tensor(name, array, binary=binary) for name, array in inputs.items()]
    return _join(_encoder.encode(frame), list(inputs.values()), binary=binary)


def encode_answer(
    frame: ServerFrame, outputs: Sequence[tuple[str, Array]], *, binary: bool
) -> str | bytes:
    """Encode an answer with its output arrays."""
    frame.outputs = [wire_tensor(name, array, binary=binary) for name, array in outputs]
    return _join(_encoder.encode(frame), [array for _, array in outputs], binary=binary)


def encode_error(request_id: str, error: RequestError) -> str:
    """Encode a refusal as a text frame."""
    frame = ServerFrame(
        id=request_id,
        error=error.message,
        code=error.code.value,
        hint=error.hint,
        estimated_wait_ms=error.estimated_wait_ms,
    )
    return _encoder.encode(frame).decode()


def encode_cancel(request_id: str) -> str:
    """Encode the wish to drop a request that is in flight."""
    return _encoder.encode(ClientFrame(cancel=request_id)).decode()


def decode_server_frame(frame: str | bytes) -> tuple[ServerFrame, dict[str, Array]]:
    """Decode an agent's frame to its header and output arrays; raises `RequestError`."""
    header, body, offset = split_frame(frame)
    try:
        message = _server_decoder.decode(header)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise RequestError(
            ErrorCode.MALFORMED, f"the agent's answer cannot be read: {error}"
        ) from error
    outputs: dict[str, Array] = {}
    for tensor in message.outputs:
        outputs[tensor.name], offset = _tensor_array(tensor, body, offset)
    return message, outputs


def _check_request(message: ClientFrame) -> None:
    """Refuse what the types alone let through."""
    if not message.model_name:
        raise RequestError(ErrorCode.MALFORMED, "the request has no model_name")
    if len(message.id) > MAX_ID_LENGTH:
        raise RequestError(ErrorCode.MALFORMED, f"id is longer than {MAX_ID_LENGTH} characters")
    parameters = message.parameters
    if not 0 <= parameters.priority <= MAX_PRIORITY:
        raise RequestError(
            ErrorCode.BAD_PARAMETER,
            f"priority must be 0 to {MAX_PRIORITY}, got {parameters.priority}",
        )
    if parameters.deadline_ms is not None and not 0 < parameters.deadline_ms <= 3_600_000:
        raise RequestError(
            ErrorCode.BAD_PARAMETER,
            f"deadline_ms must be above 0 and at most 3,600,000, got {parameters.deadline_ms}",
        )


def split_frame(frame: str | bytes) -> tuple[str | memoryview, memoryview | None, int]:
    """Return a frame's JSON header, its whole body (binary frames) and where the tensors start."""
    if isinstance(frame, str):
        return frame, None, 0
    if len(frame) < HEADER_LENGTH.size:
        raise RequestError(ErrorCode.MALFORMED, "a binary frame starts with a 4-byte header length")
    (length,) = HEADER_LENGTH.unpack_from(frame)
    end = HEADER_LENGTH.size + length
    if length > MAX_HEADER_BYTES or end > len(frame):
        raise RequestError(
            ErrorCode.MALFORMED,
            f"the binary frame of {len(frame)} bytes declares a header of {length} bytes",
            hint="the first 4 bytes are the header's length, little-endian",
        )
    view = memoryview(frame)
    return view[HEADER_LENGTH.size : end], view, aligned(end)


def _tensor_array(
    tensor: WireTensor, body: memoryview | None, offset: int, alignment: int = ALIGNMENT
) -> tuple[Array, int]:
    """Return a tensor's array and the offset after it; sizes are checked before any allocation."""
    try:
        datatype = Datatype(tensor.datatype)
    except ValueError:
        raise RequestError(
            ErrorCode.BAD_DATATYPE,
            f"tensor {tensor.name!r} has datatype {tensor.datatype!r}, which is not one of "
            f"{', '.join(Datatype)}",
        ) from None
    if (
        len(tensor.shape) > MAX_RANK
        or any(not 0 <= dim < MAX_ELEMENTS for dim in tensor.shape)
        or element_count(tuple(dim or 1 for dim in tensor.shape)) >= MAX_ELEMENTS
    ):
        raise RequestError(
            ErrorCode.BAD_SHAPE, f"tensor {tensor.name!r} has an impossible shape {tensor.shape}"
        )
    size = tensor.parameters.binary_data_size
    if size is None:
        if tensor.data is None:
            raise RequestError(ErrorCode.BAD_DATA_SIZE, f"tensor {tensor.name!r} has no data")
        return _from_json(tensor, datatype), offset
    if body is None or tensor.data is not None:
        raise RequestError(
            ErrorCode.BAD_DATA_SIZE,
            f"tensor {tensor.name!r} has binary_data_size in a text frame, or beside data",
        )
    expected = element_count(tensor.shape) * datatype.dtype.itemsize
    if size != expected:
        raise RequestError(
            ErrorCode.BAD_DATA_SIZE,
            f"tensor {tensor.name!r} of shape {list(tensor.shape)} {datatype} needs {expected} "
            f"bytes, binary_data_size says {size}",
        )
    if offset + size > len(body):
        raise RequestError(
            ErrorCode.BAD_DATA_SIZE,
            f"tensor {tensor.name!r} needs {size} bytes at {offset}, the frame ends at {len(body)}",
        )
    raw = np.frombuffer(body[offset : offset + size], dtype=datatype.dtype)
    if not raw.flags.aligned:
        # One copy costs less than the first pass over an unaligned view.
        raw = np.frombuffer(bytes(body[offset : offset + size]), dtype=datatype.dtype)
    return raw.reshape(tensor.shape), aligned(offset + size, alignment)


def _from_json(tensor: WireTensor, datatype: Datatype) -> Array:
    """Build an array from JSON values, flat or nested, without silent conversions."""
    nested, values = _flatten(tensor)
    # Types first: numpy would make one huge array of text from a long string among short ones.
    types = frozenset(map(type, values))
    if list in types:
        raise _ragged(tensor)
    if not types <= _JSON_TYPES[datatype.dtype.kind]:
        raise RequestError(
            ErrorCode.BAD_VALUE,
            f"data of tensor {tensor.name!r} holds values that are not {datatype}",
        )
    count = element_count(tensor.shape)
    if len(values) != count:
        raise RequestError(
            ErrorCode.BAD_DATA_SIZE,
            f"tensor {tensor.name!r} of shape {list(tensor.shape)} needs {count} values, "
            f"got {len(values)}",
        )
    if len(nested) > 1 and nested != tensor.shape:
        raise RequestError(
            ErrorCode.BAD_SHAPE,
            f"data of tensor {tensor.name!r} is nested as {list(nested)}, "
            f"its shape says {list(tensor.shape)}",
        )
    try:
        with np.errstate(over="ignore"):
            return np.array(values, datatype.dtype).reshape(tensor.shape)
    except OverflowError as error:
        raise RequestError(
            ErrorCode.BAD_VALUE, f"a value of tensor {tensor.name!r} does not fit {datatype}"
        ) from error


def _flatten(tensor: WireTensor) -> tuple[tuple[int, ...], list[Any]]:
    """Return how the data is nested, and its values in row-major order."""
    values: list[Any] = tensor.data or []
    nested = [len(values)]
    while values and type(values[0]) is list:
        width = len(values[0])
        if len(nested) == MAX_RANK or any(
            type(row) is not list or len(row) != width for row in values
        ):
            raise _ragged(tensor)
        nested.append(width)
        values = list(chain.from_iterable(values))
    return tuple(nested), values


def _ragged(tensor: WireTensor) -> RequestError:
    return RequestError(
        ErrorCode.BAD_SHAPE,
        f"data of tensor {tensor.name!r} is ragged, or nested more than {MAX_RANK} deep",
    )


def wire_tensor(name: str, array: Array, *, binary: bool) -> WireTensor:
    """Describe an array as the JSON header does, with its values unless they come as binary."""
    datatype = Datatype.of(array.dtype)
    if binary:
        return WireTensor(
            name=name,
            shape=array.shape,
            datatype=datatype.value,
            parameters=TensorParameters(binary_data_size=array.nbytes),
        )
    return WireTensor(
        name=name, shape=array.shape, datatype=datatype.value, data=array.ravel().tolist()
    )


def _join(header: bytes, arrays: Sequence[Array], *, binary: bool) -> str | bytes:
    return join_frame(header, arrays) if binary else header.decode()


def join_frame(header: bytes, arrays: Sequence[Array]) -> bytes:
    """Return a binary frame of a JSON header and the tensors it describes."""
    parts = [HEADER_LENGTH.pack(len(header)), header]
    size = HEADER_LENGTH.size + len(header)
    for array in arrays:
        parts += (_PADDING[: -size % ALIGNMENT], wire_bytes(array))
        size = aligned(size) + array.nbytes
    return b"".join(parts)


def wire_bytes(array: Array) -> bytes:
    """Return an array's values, row-major and little-endian."""
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.tobytes()


def aligned(offset: int, alignment: int = ALIGNMENT) -> int:
    """Return the next multiple of the alignment."""
    return -(-offset // alignment) * alignment
