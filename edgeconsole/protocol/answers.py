"""Writes binary answers; those that differ only in id, times and values share a form that is filled in.

The form is the header as the encoder writes it, with gaps: what it says is defined in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from edgeconsole.protocol.inference import (
    AnswerParameters,
    ServerFrame,
    join_frame,
    wire_tensor,
)
from edgeconsole.protocol.tensors import Array

_ID: Final = "\x01"
_GAP_MS: Final = 0.125
_TIMES: Final = ("queue_ms", "infer_ms", "total_ms")
_encode: Final = msgspec.json.Encoder().encode


class AnswerForm:
    """The header of answers of one kind, made from the first of them."""

    __slots__ = ("_form",)

    def __init__(self) -> None:
        self._form: bytes | None = None

    @property
    def is_made(self) -> bool:
        """Say whether `make` was called, so that `fill` can be."""
        return self._form is not None

    def make(self, frame: ServerFrame, outputs: Sequence[tuple[str, Array]]) -> None:
        """Make the form from an answer without its id; the times in it do not matter."""
        parameters = msgspec.structs.replace(
            frame.parameters or AnswerParameters(), **dict.fromkeys(_TIMES, _GAP_MS)
        )
        tensors = [wire_tensor(name, array, binary=True) for name, array in outputs]
        gaps = msgspec.structs.replace(frame, id=_ID, parameters=parameters, outputs=tensors)
        form = _encode(gaps).replace(b"%", b"%%")
        # Quotes inside of names are escaped, so that only the keys themselves can match.
        form = form.replace(_encode({"id": _ID})[1:-1], b'"id":%b', 1)
        for key in _TIMES:
            form = form.replace(_encode({key: _GAP_MS})[1:-1], b'"%b":%%.4f' % key.encode(), 1)
        self._form = form

    def fill(
        self,
        request_id: str,
        queue_ms: float,
        infer_ms: float,
        total_ms: float,
        outputs: Sequence[tuple[str, Array]],
    ) -> bytes:
        """Write an answer of this form; times in milliseconds."""
        assert self._form is not None
        header = self._form % (_encode(request_id), queue_ms, infer_ms, total_ms)
        return join_frame(header, [array for _, array in outputs])
