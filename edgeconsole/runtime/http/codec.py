"""Open Inference Protocol (V2) over HTTP: bytes to requests, answers to bytes. No sockets here.

The binary tensor extension puts the JSON part's length in the header `Inference-Header-Content-Length`
and the tensors right after the JSON, in its order, without padding. Tensors are decoded and checked by
the websocket's codec. `priority` means what it means there, 10 goes first; Triton counts the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import (
    MAX_HEADER_BYTES,
    ClientFrame,
    InferRequest,
    OutputRequest,
    RequestParameters,
    ServerFrame,
    WireTensor,
    decode_request,
    wire_bytes,
    wire_tensor,
)
from edgeconsole.protocol.tensors import Array

HEADER_LENGTH: Final = "Inference-Header-Content-Length"


class OutputParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """V2's parameters of one wanted output."""

    binary_data: bool | None = None
    """Whether it comes as binary; `None`: as the request's `binary_data_output` says."""


class WantedOutput(msgspec.Struct, forbid_unknown_fields=True):
    """One output a client wants."""

    name: str
    parameters: OutputParameters = OutputParameters()


class InferBody(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON of an inference request; the model's name and version are in the path."""

    id: str = ""
    parameters: RequestParameters = msgspec.field(default_factory=RequestParameters)
    inputs: list[WireTensor] = []
    outputs: list[WantedOutput] = []


@dataclass(frozen=True, slots=True)
class HttpInference:
    """A decoded request, and in which form each output is wanted."""

    request: InferRequest
    binary: dict[str, bool]
    """What outputs ask for themselves; the others come as `request.binary_output` says."""

    def is_binary(self, output: str) -> bool:
        """Say whether an output comes as binary."""
        return self.binary.get(output, self.request.binary_output)


_decoder: Final = msgspec.json.Decoder(InferBody)
_encoder: Final = msgspec.json.Encoder()


def decode_infer(model: str, version: str, body: bytes, header_length: str | None) -> HttpInference:
    """Decode a request for a model; `header_length` is the header's value.

    Raises:
        RequestError: something is wrong with it; the message says what and where.
    """
    view = memoryview(body)
    length = len(body) if header_length is None else _json_length(header_length, len(body))
    try:
        message = _decoder.decode(view[:length])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise RequestError(
            ErrorCode.MALFORMED, f"the request is not a valid V2 inference request: {error}"
        ) from error
    # V2's default is JSON, also for a request that came as binary.
    message.parameters.binary_data_output = message.parameters.binary_data_output or False
    frame = ClientFrame(
        model_name=model,
        model_version=version,
        id=message.id,
        parameters=message.parameters,
        inputs=message.inputs,
        outputs=[OutputRequest(output.name) for output in message.outputs],
    )
    request = decode_request(frame, None if header_length is None else view, length, alignment=1)
    wanted = ((output.name, output.parameters.binary_data) for output in message.outputs)
    return HttpInference(request, {name: form for name, form in wanted if form is not None})


def encode_infer(
    frame: ServerFrame, outputs: Sequence[tuple[str, Array]], asked: HttpInference
) -> tuple[bytes, int | None]:
    """Encode an answer; returns its body, and the JSON part's length if tensors follow it."""
    frame.outputs = [
        wire_tensor(name, array, binary=asked.is_binary(name)) for name, array in outputs
    ]
    header = _encoder.encode(frame)
    tensors = [wire_bytes(array) for name, array in outputs if asked.is_binary(name)]
    if not tensors:
        return header, None
    return b"".join((header, *tensors)), len(header)


def _json_length(text: str, size: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise RequestError(
            ErrorCode.MALFORMED, f"{HEADER_LENGTH} must be a number of bytes, got {text[:40]!r}"
        )
    length = int(text)
    if length > min(size, MAX_HEADER_BYTES):
        raise RequestError(
            ErrorCode.MALFORMED,
            f"{HEADER_LENGTH} is {length}, but the body has {size} bytes "
            f"(at most {MAX_HEADER_BYTES} of them JSON)",
        )
    return length
