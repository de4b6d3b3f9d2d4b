"""Answers written from a form say what answers encoded one by one say."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.protocol.answers import AnswerForm
from edgeconsole.protocol.inference import (
    AnswerParameters,
    Rung,
    ServerFrame,
    decode_server_frame,
    encode_answer,
)

NASTY = [
    "plain",
    "100%b",
    '","queue_ms":0.125,"x":"',
    "\x01",
    "0.125",
    "\u2028 é",
    "%%.4f",
]
TIMES = st.floats(0.0, 1e7)


@given(
    st.text(max_size=40),
    st.tuples(TIMES, TIMES, TIMES),
    st.sampled_from(NASTY),
    st.sampled_from(NASTY),
    st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True),
)
def test_a_filled_form_is_the_encoded_answer(
    request_id: str, times: tuple[float, float, float], name: str, device: str, sizes: list[int]
) -> None:
    """Whatever ids and names there are, both ways decode to the same header and tensors."""
    queue_ms, infer_ms, total_ms = times
    parameters = AnswerParameters(
        rung=Rung.PRIMARY, variant=name, device=device, queue_ms=9.0, infer_ms=9.0, total_ms=9.0
    )
    outputs = [(f"{name}{size}", np.arange(size, dtype="f4")) for size in sizes]
    frame = ServerFrame(id="", model_name=name, model_version="1", parameters=parameters)
    form = AnswerForm()
    assert not form.is_made
    form.make(frame, outputs)
    assert form.is_made
    filled, filled_outputs = decode_server_frame(
        form.fill(request_id, queue_ms, infer_ms, total_ms, outputs)
    )
    frame.id = request_id
    encoded, encoded_outputs = decode_server_frame(encode_answer(frame, outputs, binary=True))
    assert filled.parameters is not None
    assert [filled.parameters.queue_ms, filled.parameters.infer_ms, filled.parameters.total_ms] == (
        pytest.approx(list(times), abs=1e-4)
    )
    same = msgspec.structs.replace(
        filled.parameters, **dict.fromkeys(("queue_ms", "infer_ms", "total_ms"), 9.0)
    )
    assert msgspec.structs.replace(filled, parameters=same) == encoded
    assert filled_outputs.keys() == encoded_outputs.keys()
    for key, array in encoded_outputs.items():
        assert np.array_equal(filled_outputs[key], array)
