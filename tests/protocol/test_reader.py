"""A connection's requests: what is remembered of a header changes nothing but the cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.errors import RequestError
from edgeconsole.protocol.inference import (
    ClientFrame,
    InferRequest,
    OutputRequest,
    RequestParameters,
    Rung,
    encode_cancel,
    encode_request,
)
from edgeconsole.protocol.reader import RequestReader
from edgeconsole.protocol.tensors import Array

IDS = st.one_of(
    st.text("abcXYZ019_.:-", min_size=1, max_size=12),
    st.sampled_from(["", "0", "1", '"', "\\", "é", "id", 'x","id":"y', " ", "a" * 128]),
)
NAMES = st.sampled_from(["m", "id", '"id":"7"', "0"])


@st.composite
def _questions(draw: st.DrawFn) -> tuple[ClientFrame, dict[str, Array]]:
    """Return a question without its id and values."""
    frame = ClientFrame(
        model_name=draw(NAMES),
        model_version=draw(st.sampled_from(["", "3"])),
        parameters=RequestParameters(
            deadline_ms=draw(st.sampled_from([None, 50.0])),
            priority=draw(st.integers(0, 10)),
            cache=draw(st.booleans()),
            allow=draw(st.none() | st.sampled_from(Rung)),
        ),
        outputs=draw(st.sampled_from([[], [OutputRequest("id")]])),
    )
    shapes = draw(st.lists(st.sampled_from([(1, 4), (2, 3), (0,), ()]), max_size=3))
    names = ["id", "x", "é"]
    return frame, {names[at]: np.zeros(shape, "f4") for at, shape in enumerate(shapes)}


def _asked(frame: ClientFrame, inputs: dict[str, Array], request_id: str, value: float) -> bytes:
    frame.id = request_id
    full = {name: np.full_like(array, value) for name, array in inputs.items()}
    encoded = encode_request(frame, full)
    assert isinstance(encoded, bytes)
    return encoded


def _read(reader: RequestReader, frame: str | bytes) -> InferRequest | str | RequestError:
    try:
        return reader.read(frame)
    except RequestError as error:
        return error


def _assert_same(one: object, other: object) -> None:
    assert type(one) is type(other)
    if not isinstance(one, InferRequest) or not isinstance(other, InferRequest):
        assert str(one) == str(other)
        return
    for field in InferRequest.__struct_fields__:
        if field not in {"inputs", "layout"}:
            assert getattr(one, field) == getattr(other, field)
    assert list(one.inputs) == list(other.inputs)
    for name, array in one.inputs.items():
        assert array.dtype == other.inputs[name].dtype
        assert array.shape == other.inputs[name].shape
        assert array.tobytes() == other.inputs[name].tobytes()


@given(
    st.lists(_questions(), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), IDS, st.floats(-9, 9, width=32)), max_size=12),
)
def test_a_reader_that_remembers_reads_what_a_new_one_reads(
    questions: list[tuple[ClientFrame, dict[str, Array]]], asked: list[tuple[int, str, float]]
) -> None:
    """Whatever came before on the connection, a frame means what it means on its own."""
    reader = RequestReader()
    for which, request_id, value in asked:
        frame = _asked(*questions[which % len(questions)], request_id, value)
        _assert_same(_read(reader, frame), _read(RequestReader(), frame))


@given(st.data())
def test_damaged_repetitions_are_read_as_on_their_own(data: st.DataObject) -> None:
    """A frame that is nearly a repetition is not taken for one."""
    question = (ClientFrame(model_name="m"), {"x": np.ones((1, 4), "f4")})
    reader = RequestReader()
    reader.read(_asked(*question, "first", 1.0))
    frame = bytearray(_asked(*question, "second", 2.0))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(frame[: data.draw(st.integers(0, len(frame)))])
    for damaged in (bytes(frame), cut):
        _assert_same(_read(reader, damaged), _read(RequestReader(), damaged))


def test_repetitions_share_their_layout() -> None:
    """Requests that differ in id and values alone have one layout; others do not."""
    reader = RequestReader()
    question = (ClientFrame(model_name="m"), {"x": np.ones((1, 4), "f4")})
    first, second = (reader.read(_asked(*question, each, 1.0)) for each in ("a1", "b22"))
    assert isinstance(first, InferRequest)
    assert isinstance(second, InferRequest)
    assert first.layout is not None
    assert first.layout is second.layout
    wider = reader.read(_asked(question[0], {"x": np.ones((2, 4), "f4")}, "c", 1.0))
    assert isinstance(wider, InferRequest)
    assert wider.layout is not first.layout


def test_a_connection_that_never_repeats_is_not_learnt_from_for_ever() -> None:
    """Headers that all differ are remembered a bounded number of times, then no more."""
    reader = RequestReader()
    for priority in range(11):
        for deadline_ms in range(1, 9):
            parameters = RequestParameters(priority=priority, deadline_ms=float(deadline_ms))
            frame = ClientFrame(model_name="m", parameters=parameters)
            reader.read(_asked(frame, {"x": np.ones(2, "f4")}, "x", 1.0))
    assert len(reader._known) <= 4
    assert reader._learnt_in_vain == 16


@pytest.mark.parametrize("request_id", ["7", "other"])
def test_cancels_are_still_cancels(request_id: str) -> None:
    """A cancel is a text frame without a model, whatever was asked before."""
    reader = RequestReader()
    reader.read(_asked(ClientFrame(model_name="m"), {"x": np.ones(2, "f4")}, "7", 1.0))
    assert reader.read(encode_cancel(request_id)) == request_id
