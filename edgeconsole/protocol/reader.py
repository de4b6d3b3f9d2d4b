"""Reads one connection's requests; one that repeats an earlier one but for its id costs no JSON.

Applications ask the same question of a model again and again, with another id and other values. The
header around the id is remembered; a frame that has the same one is read by comparing bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from edgeconsole.protocol.inference import (
    HEADER_LENGTH,
    ClientFrame,
    InferRequest,
    RequestLayout,
    TensorPlace,
    aligned,
    decode_header,
    decode_request,
    split_frame,
)

_START: Final = HEADER_LENGTH.size
_PLAIN_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
"""Ids that JSON writes as they are."""
_KEPT: Final = 4
"""Headers remembered for a connection; the oldest goes first."""
_PATIENCE: Final = 16
"""So many headers are learnt without one coming back; then the connection is not worth it."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A header seen before."""

    before: bytes
    """From its start to the id."""
    after: bytes
    tensor_bytes: int
    """What follows the header and its padding."""
    request: InferRequest
    layout: RequestLayout


class RequestReader:
    """Decodes the frames of one connection."""

    def __init__(self) -> None:
        self._known: list[_Known] = []
        self._learnt_in_vain = 0

    def read(self, frame: str | bytes) -> InferRequest | str:
        """Decode a frame to a request, or to the id that it cancels; raises `RequestError`."""
        if self._known and isinstance(frame, bytes) and len(frame) > _START:
            for known in self._known:
                request = _repeated(known, frame)
                if request is not None:
                    self._learnt_in_vain = 0
                    return request
        header, body, base = split_frame(frame)
        message = decode_header(header)
        if message.cancel is not None:
            return message.cancel
        request = decode_request(message, body, base)
        if isinstance(frame, bytes) and self._learnt_in_vain < _PATIENCE:
            self._learn(message, frame, base, request)
        return request

    def _learn(self, message: ClientFrame, frame: bytes, base: int, request: InferRequest) -> None:
        request_id = message.id.encode()
        if not _PLAIN_ID.fullmatch(request_id):
            return
        if any(tensor.parameters.binary_data_size is None for tensor in message.inputs):
            return
        end = _START + HEADER_LENGTH.unpack_from(frame)[0]
        before, found, after = frame[_START:end].partition(b'"id":"' + request_id + b'"')
        before, after = before + b'"id":"', b'"' + after
        if not found or not _is_the_id(message, before, after):
            return
        places: list[TensorPlace] = []
        offset = 0
        for name, array in request.inputs.items():
            places.append((name, array.dtype, array.shape, offset))
            offset = aligned(offset + array.nbytes)
        request.layout = RequestLayout(tuple(places))
        del self._known[: len(self._known) - _KEPT + 1]
        bare = msgspec.structs.replace(request, inputs={})
        self._known.append(_Known(before, after, len(frame) - base, bare, request.layout))
        self._learnt_in_vain += 1


def _repeated(known: _Known, frame: bytes) -> InferRequest | None:
    """Return the request of a frame whose header is a known one but for the id."""
    end = _START + HEADER_LENGTH.unpack_from(frame)[0]
    id_from, id_to = _START + len(known.before), end - len(known.after)
    base = aligned(end)
    if (
        len(frame) != base + known.tensor_bytes
        or not frame.startswith(known.before, _START)
        or not frame.startswith(known.after, id_to)
        or not _PLAIN_ID.fullmatch(frame, id_from, id_to)
    ):
        return None
    request = known.request
    inputs = {}
    for name, dtype, shape, offset in known.layout.tensors:
        inputs[name] = np.ndarray(shape, dtype, frame, base + offset)
    return InferRequest(
        request.model_name,
        request.model_version,
        frame[id_from:id_to].decode(),
        request.deadline_ms,
        request.priority,
        inputs,
        request.output_names,
        request.binary_output,
        request.cache,
        request.allow,
        known.layout,
    )


def _is_the_id(message: ClientFrame, before: bytes, after: bytes) -> bool:
    """Say whether what stands between the two is the request's id, and nothing but it."""
    other_id = "0" if message.id != "0" else "1"
    other = decode_header(before + other_id.encode() + after)
    return other == msgspec.structs.replace(message, id=other_id)
