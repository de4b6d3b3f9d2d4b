"""Inference frames: what goes in comes out, and what is wrong is refused with the right code."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import (
    ALIGNMENT,
    MAX_HEADER_BYTES,
    MAX_ID_LENGTH,
    AnswerParameters,
    ClientFrame,
    InferRequest,
    OutputRequest,
    RequestParameters,
    Rung,
    ServerFrame,
    decode_server_frame,
    encode_answer,
    encode_cancel,
    encode_error,
    encode_request,
    peek_id,
)
from edgeconsole.protocol.reader import RequestReader
from edgeconsole.protocol.tensors import Array, Datatype

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def arrays(*, finite: bool) -> st.SearchStrategy[Array]:
    """Return arrays of every datatype and byte order, scalars and empty dimensions among them."""

    def of(datatype: Datatype, order: str) -> st.SearchStrategy[Array]:
        elements = (
            {"allow_nan": False, "allow_infinity": False} if finite and datatype.is_float else None
        )
        return hnp.arrays(datatype.dtype.newbyteorder(order), SHAPES, elements=elements)

    return st.builds(of, st.sampled_from(list(Datatype)), st.sampled_from("<>")).flatmap(
        lambda strategy: strategy
    )


def named(*, finite: bool) -> st.SearchStrategy[dict[str, Array]]:
    """Return up to four inputs by name."""
    return st.dictionaries(st.text(max_size=8), arrays(finite=finite), max_size=4)


def little(array: Array) -> bytes:
    """Return an array's values as the wire has them."""
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def assert_same(found: dict[str, Array], sent: dict[str, Array]) -> None:
    """Compare names in order, datatypes, shapes and every bit."""
    assert list(found) == list(sent)
    for name, array in sent.items():
        assert found[name].dtype == array.dtype.newbyteorder("<")
        assert found[name].shape == array.shape
        assert found[name].tobytes() == little(array)


def assert_aligned(frame: bytes, tensors: dict[str, Array]) -> None:
    """Check that tensors are read-only views into the frame, at multiples of 64."""
    start = np.frombuffer(frame, np.uint8).ctypes.data
    for array in tensors.values():
        assert not array.flags.writeable
        if array.size:
            assert (array.ctypes.data - start) % ALIGNMENT == 0
            assert start < array.ctypes.data < start + len(frame)


def request(frame: str | bytes) -> InferRequest:
    """Decode a frame that must be a request."""
    decoded = RequestReader().read(frame)
    assert isinstance(decoded, InferRequest)
    return decoded


@given(named(finite=False))
def test_binary_requests_round_trip(inputs: dict[str, Array]) -> None:
    """Every datatype, shape and bit pattern survives, aligned and without a copy."""
    frame = encode_request(ClientFrame(model_name="m"), inputs)
    assert isinstance(frame, bytes)
    decoded = request(frame)
    assert_same(decoded.inputs, inputs)
    assert_aligned(frame, decoded.inputs)
    assert decoded.binary_output


@given(named(finite=True))
def test_text_requests_round_trip(inputs: dict[str, Array]) -> None:
    """Every finite value survives JSON exactly."""
    frame = encode_request(ClientFrame(model_name="m"), inputs, binary=False)
    assert isinstance(frame, str)
    decoded = request(frame)
    assert_same(decoded.inputs, inputs)
    assert not decoded.binary_output


@given(outputs=named(finite=True), binary=st.booleans())
def test_answers_round_trip(outputs: dict[str, Array], *, binary: bool) -> None:
    """What an agent answers is what a client reads, with all it says about itself."""
    sent = ServerFrame(
        id="7",
        model_name="m",
        model_version="2",
        parameters=AnswerParameters(Rung.FALLBACK, "int8", "dev", True, 0.5, 1.25, 2.0),
    )
    frame = encode_answer(sent, list(outputs.items()), binary=binary)
    header, found = decode_server_frame(frame)
    assert_same(found, outputs)
    assert (header.id, header.model_name, header.model_version) == ("7", "m", "2")
    assert header.parameters == sent.parameters
    if isinstance(frame, bytes):
        assert_aligned(frame, found)


@pytest.mark.parametrize("binary", [True, False])
def test_views_that_are_not_contiguous_are_sent_in_row_major_order(binary: bool) -> None:  # noqa: FBT001
    """A transposed and strided view arrives as what indexing it shows."""
    array = np.arange(24, dtype="i4").reshape(4, 6).T[::2]
    decoded = request(encode_request(ClientFrame(model_name="m"), {"x": array}, binary=binary))
    np.testing.assert_array_equal(decoded.inputs["x"], array)


@pytest.mark.parametrize("asked", [None, True, False])
@pytest.mark.parametrize("binary", [True, False])
def test_request_fields_arrive(binary: bool, asked: bool | None) -> None:  # noqa: FBT001
    """All a client may ask for reaches the agent; outputs come as the request did, or as asked."""
    parameters = RequestParameters(deadline_ms=12.5, priority=10, binary_data_output=asked)
    frame = ClientFrame("m", "3", "id-1", parameters, outputs=[OutputRequest("a")])
    decoded = request(encode_request(frame, {}, binary=binary))
    assert msgspec.structs.replace(decoded, layout=None) == InferRequest(
        model_name="m",
        model_version="3",
        id="id-1",
        deadline_ms=12.5,
        priority=10,
        inputs={},
        output_names=("a",),
        binary_output=binary if asked is None else asked,
    )


@given(st.text())
def test_cancel_round_trips(request_id: str) -> None:
    """A cancel frame decodes to the id it names, whatever that is."""
    assert RequestReader().read(encode_cancel(request_id)) == request_id


@given(st.text(), st.sampled_from(list(ErrorCode)), st.text(), st.text())
def test_errors_round_trip(request_id: str, code: ErrorCode, message: str, hint: str) -> None:
    """A refusal carries id, code, sentence and hint."""
    frame = encode_error(request_id, RequestError(code, message, hint=hint))
    header, outputs = decode_server_frame(frame)
    assert (header.id, header.error, header.code, header.hint) == (request_id, message, code, hint)
    assert outputs == {}


@pytest.mark.parametrize("dtype", ["U3", "O", "c8"])
def test_dtypes_v2_lacks_are_refused_before_sending(dtype: str) -> None:
    """A client learns at once that its array cannot be sent."""
    with pytest.raises(ValueError, match="no Open Inference Protocol datatype"):
        encode_request(ClientFrame(model_name="m"), {"x": np.zeros(2, dtype)})


# What is refused.


def tensor(
    data: Any = (1, 2), shape: tuple[Any, ...] = (2,), datatype: Any = "INT32", **more: Any
) -> dict[str, Any]:
    """Return a tensor of a JSON request."""
    given = {"name": "x", "shape": shape, "datatype": datatype, "data": data, **more}
    return {name: value for name, value in given.items() if value is not None}


def text(*tensors: dict[str, Any], **fields: Any) -> str:
    """Return a text frame."""
    return json.dumps({"model_name": "m", "inputs": tensors, **fields})


def binary(*tensors: dict[str, Any], body: bytes = b"", length: int | None = None) -> bytes:
    """Return a binary frame whose header may lie."""
    header = text(*tensors).encode()
    head = struct.pack("<I", len(header) if length is None else length) + header
    return head.ljust(-(-len(head) // 64) * 64, b"\0") + body


def sized(size: Any, shape: tuple[Any, ...] = (2,), **more: Any) -> dict[str, Any]:
    """Return a tensor whose data is binary."""
    return tensor(None, shape, parameters={"binary_data_size": size}, **more)


MALFORMED = ErrorCode.MALFORMED
SIZE = ErrorCode.BAD_DATA_SIZE
SHAPE = ErrorCode.BAD_SHAPE
VALUE = ErrorCode.BAD_VALUE
PARAMETER = ErrorCode.BAD_PARAMETER
LARGE = 2**31 - 1

REFUSED: dict[str, tuple[str | bytes, ErrorCode, str]] = {
    "empty text": ("", MALFORMED, "not a valid V2"),
    "not JSON": ("{", MALFORMED, "not a valid V2"),
    "not an object": ("[]", MALFORMED, "Expected `object`"),
    "data after the object": ("{} {}", MALFORMED, "not a valid V2"),
    "deep nesting": ('{"inputs":' + "[" * 100_000, MALFORMED, "not a valid V2"),
    "deep nesting in data": (
        text(tensor("DATA")).replace('"DATA"', "[" * 100_000 + "]" * 100_000),
        MALFORMED,
        "recursion",
    ),
    "deep data": (text(tensor(json.loads("[" * 17 + "1" + "]" * 17), (1,))), SHAPE, "16 deep"),
    "unknown field": (text(colour=1), MALFORMED, "unknown field `colour`"),
    "unknown parameter": (text(parameters={"colour": 1}), MALFORMED, "`colour`"),
    "unknown tensor field": (text(tensor(colour=1)), MALFORMED, "$.inputs[0]"),
    "unknown tensor parameter": (text(tensor(parameters={"a": 1})), MALFORMED, "`a`"),
    "no model": ("{}", MALFORMED, "no model_name"),
    "model of a wrong type": (text(model_name=3), MALFORMED, "$.model_name"),
    "long id": (text(id="i" * (MAX_ID_LENGTH + 1)), MALFORMED, "longer than 128"),
    "lone surrogate": ('{"model_name":"\ud800"}', MALFORMED, "surrogate"),
    "escaped lone surrogate": ('{"model_name":"\\ud800"}', MALFORMED, "not a valid V2"),
    "priority below": (text(parameters={"priority": -1}), PARAMETER, "0 to 10, got -1"),
    "priority above": (text(parameters={"priority": 11}), PARAMETER, "0 to 10, got 11"),
    "priority enormous": (text(parameters={"priority": 2**90}), PARAMETER, "0 to 10"),
    "priority a float": (text(parameters={"priority": 1.5}), MALFORMED, "$.parameters.priority"),
    "deadline zero": (text(parameters={"deadline_ms": 0}), PARAMETER, "deadline_ms"),
    "deadline negative": (text(parameters={"deadline_ms": -1}), PARAMETER, "deadline_ms"),
    "deadline above": (text(parameters={"deadline_ms": 3_600_001}), PARAMETER, "deadline_ms"),
    "deadline infinite": ('{"parameters":{"deadline_ms":1e999}}', MALFORMED, "out of range"),
    "deadline NaN": ('{"parameters":{"deadline_ms":NaN}}', MALFORMED, "not a valid V2"),
    "input twice": (text(tensor(), tensor()), ErrorCode.BAD_INPUT_NAME, "'x' is given twice"),
    "unknown datatype": (text(tensor(datatype="BF16")), ErrorCode.BAD_DATATYPE, "one of BOOL"),
    "datatype in lower case": (text(tensor(datatype="fp32")), ErrorCode.BAD_DATATYPE, "'fp32'"),
    "no data": (text(tensor(None)), SIZE, "has no data"),
    "negative dimension": (text(tensor(shape=(-1,))), SHAPE, "impossible shape"),
    "huge dimension": (text(tensor(shape=(2**31,))), SHAPE, "impossible shape"),
    "dimension beyond 64 bits": (text(tensor(shape=(2**70,))), SHAPE, "impossible shape"),
    "dimension a float": (text(tensor(shape=(2.5,))), MALFORMED, "$.inputs[0].shape[0]"),
    "shape product overflows": (text(tensor(shape=(LARGE,) * 3)), SHAPE, "impossible shape"),
    "shape product wraps to the size": (
        binary(sized(0, (2**30, 2**30, 16)), body=b""),
        SHAPE,
        "impossible shape",
    ),
    "overflow hidden by a zero": (text(tensor([], (0, *(LARGE,) * 5))), SHAPE, "impossible"),
    "overflow hidden by a zero in binary": (
        binary(sized(0, (0, *(LARGE,) * 5))),
        SHAPE,
        "impossible",
    ),
    "too many dimensions": (text(tensor([1], (1,) * 17)), SHAPE, "impossible shape"),
    "too few values": (text(tensor([1])), SIZE, "needs 2 values, got 1"),
    "too many values": (text(tensor([1, 2, 3])), SIZE, "needs 2 values, got 3"),
    "no values": (text(tensor([])), SIZE, "needs 2 values, got 0"),
    "values for an empty shape": (text(tensor([1], (0,))), SIZE, "needs 0 values, got 1"),
    "ragged rows": (text(tensor([[1], [2, 3]], (3,))), SHAPE, "ragged"),
    "rows and values": (text(tensor([[1], 2])), SHAPE, "ragged"),
    "values and rows": (text(tensor([1, [2]])), SHAPE, "ragged"),
    "nested otherwise": (text(tensor([[1, 2]])), SHAPE, "nested as [1, 2]"),
    "transposed": (text(tensor([[1, 2]], (2, 1))), SHAPE, "its shape says [2, 1]"),
    "bool among ints": (text(tensor([True, 2])), VALUE, "not INT32"),
    "bools for ints": (text(tensor([True, False])), VALUE, "not INT32"),
    "bool among floats": (text(tensor([True, 2.0], datatype="FP32")), VALUE, "not FP32"),
    "ints for bools": (text(tensor([1, 0], datatype="BOOL")), VALUE, "not BOOL"),
    "float among ints": (text(tensor([1, 2.0])), VALUE, "not INT32"),
    "null among floats": (text(tensor([1.0, None], datatype="FP32")), VALUE, "not FP32"),
    "text for floats": (text(tensor(["1", "2"], datatype="FP32")), VALUE, "not FP32"),
    "objects for floats": (text(tensor([{}, {}], datatype="FP32")), VALUE, "not FP32"),
    "a text that numpy would repeat": (
        text(tensor(["a" * 1_000_000, *[""] * 1_000_000], (1_000_001,), "FP32")),
        VALUE,
        "not FP32",
    ),
    "int above": (text(tensor([2**31, 0])), VALUE, "does not fit INT32"),
    "int below": (text(tensor([-(2**31) - 1, 0])), VALUE, "does not fit INT32"),
    "int beyond 64 bits": (text(tensor([2**64, 0], datatype="UINT64")), VALUE, "not fit UINT64"),
    "negative for unsigned": (text(tensor([-1, 0], datatype="UINT8")), VALUE, "not fit UINT8"),
    "int beyond floats": (text(tensor([10**400, 0], datatype="FP64")), VALUE, "not fit FP64"),
    "NaN in data": (text(tensor([float("nan"), 1.0])), MALFORMED, "not a valid V2"),
    "Infinity in data": (text(tensor([float("inf"), 1.0])), MALFORMED, "not a valid V2"),
    "data not a list": (text(tensor("12")), MALFORMED, "$.inputs[0].data"),
    "binary size in text": (text(sized(8)), SIZE, "in a text frame"),
    "binary size beside data": (
        binary(tensor(parameters={"binary_data_size": 8}), body=bytes(8)),
        SIZE,
        "beside data",
    ),
    "binary size too small": (binary(sized(4), body=bytes(8)), SIZE, "needs 8 bytes"),
    "binary size too large": (binary(sized(12), body=bytes(12)), SIZE, "needs 8 bytes"),
    "binary size negative": (binary(sized(-8), body=bytes(8)), SIZE, "says -8"),
    "binary size enormous": (binary(sized(2**80), body=bytes(8)), SIZE, "needs 8 bytes"),
    "binary size a text": (binary(sized("8"), body=bytes(8)), MALFORMED, "binary_data_size"),
    "body cut": (binary(sized(8), body=bytes(7)), SIZE, "the frame ends at"),
    "body missing": (binary(sized(8)), SIZE, "the frame ends at"),
    "second body missing": (
        binary(sized(8), sized(8, name="y"), body=bytes(8)),
        SIZE,
        "tensor 'y' needs 8 bytes",
    ),
    "bytes after the tensors": (binary(sized(8), body=bytes(65)), SIZE, "its header describes"),
    "a block after the tensors": (binary(sized(8), body=bytes(128)), SIZE, "header describes"),
    "bytes after no tensors": (binary(body=bytes(1)), SIZE, "its header describes"),
    "no bytes": (b"", MALFORMED, "4-byte header length"),
    "three bytes": (b"\1\0\0", MALFORMED, "4-byte header length"),
    "header longer than the frame": (binary(length=10_000), MALFORMED, "header of 10000 bytes"),
    "header of 4 GiB": (binary(length=2**32 - 1), MALFORMED, "header of 4294967295 bytes"),
    "header above the limit": (
        struct.pack("<I", MAX_HEADER_BYTES + 1) + b" " * (MAX_HEADER_BYTES + 1),
        MALFORMED,
        "header of 1048577 bytes",
    ),
    "header too short": (binary(length=3), MALFORMED, "not a valid V2"),
    "header empty": (binary(length=0), MALFORMED, "not a valid V2"),
    "header not UTF-8": (binary().replace(b'"m"', b'"\xff"'), MALFORMED, "utf-8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_requests_are_refused(case: str) -> None:
    """Each kind of bad frame gets its own code and one line that says what is wrong."""
    frame, code, words = REFUSED[case]
    with pytest.raises(RequestError) as caught:
        RequestReader().read(frame)
    assert caught.value.code is code
    assert words in caught.value.message
    assert "\n" not in caught.value.message


ANSWERS_REFUSED: dict[str, tuple[str | bytes, ErrorCode]] = {
    "not JSON": ("{", MALFORMED),
    "deep nesting": ('{"outputs":' + "[" * 100_000, MALFORMED),
    "lone surrogate": ('{"id":"\ud800"}', MALFORMED),
    "unknown rung": ('{"parameters":{"rung":"ladder"}}', MALFORMED),
    "header lies": (struct.pack("<I", 99) + b"{}", MALFORMED),
    "bad size": (json.dumps({"outputs": [tensor([1])]}), SIZE),
    "bad datatype": (json.dumps({"outputs": [tensor(datatype="BYTES")]}), ErrorCode.BAD_DATATYPE),
    "bad value": (json.dumps({"outputs": [tensor([1, None])]}), VALUE),
}


@pytest.mark.parametrize("case", ANSWERS_REFUSED)
def test_bad_answers_are_refused(case: str) -> None:
    """A client trusts its agent as little as the agent trusts it."""
    frame, code = ANSWERS_REFUSED[case]
    with pytest.raises(RequestError) as caught:
        decode_server_frame(frame)
    assert caught.value.code is code


def test_answers_tolerate_unknown_fields() -> None:
    """An older client understands a newer agent."""
    header, outputs = decode_server_frame(
        '{"id":"1","new":1,"parameters":{"rung":"shed","newer":[]},"outputs":[]}'
    )
    assert header.parameters is not None
    assert (header.id, header.parameters.rung, outputs) == ("1", Rung.SHED, {})


@pytest.mark.parametrize(
    ("data", "shape", "datatype", "expected"),
    [
        ([[1, 2], [3, 4]], (2, 2), "INT8", [[1, 2], [3, 4]]),
        ([1, 2, 3, 4], (2, 2), "INT8", [[1, 2], [3, 4]]),
        ([5], (), "UINT8", 5),
        ([[], []], (2, 0), "FP32", [[], []]),
        ([], (2, 0), "FP32", [[], []]),
        ([1, 2.5], (2,), "FP32", [1.0, 2.5]),
        ([0, 2**64 - 1], (2,), "UINT64", [0, 2**64 - 1]),
        ([-(2**63), 2**63 - 1], (2,), "INT64", [-(2**63), 2**63 - 1]),
        ([True, False], (2,), "BOOL", [True, False]),
        ([2**70], (1,), "FP64", [float(2**70)]),
        ([1e300], (1,), "FP32", [float("inf")]),
    ],
)
def test_json_data_flat_or_nested(
    data: Any, shape: tuple[int, ...], datatype: str, expected: Any
) -> None:
    """Data may be flat or nested as its shape, and ints may stand for floats.

    What is too large for a float becomes infinite here; admission refuses it.
    """
    found = request(text(tensor(data, shape, datatype))).inputs["x"]
    assert found.dtype == Datatype(datatype).dtype
    np.testing.assert_array_equal(found, np.array(expected, found.dtype).reshape(shape))


@pytest.mark.parametrize("deadline_ms", [0.001, 3_600_000])
@pytest.mark.parametrize("priority", [0, 10])
def test_limits_of_parameters_are_accepted(deadline_ms: float, priority: int) -> None:
    """The ends of the ranges belong to them."""
    decoded = request(text(parameters={"deadline_ms": deadline_ms, "priority": priority}))
    assert (decoded.deadline_ms, decoded.priority) == (deadline_ms, priority)


@pytest.mark.parametrize("allow", [None, *Rung])
def test_the_lowest_rung_a_client_accepts_arrives(allow: Rung | None) -> None:
    """`allow` names a rung; without it, everything the device has is accepted."""
    frame = ClientFrame(model_name="m", parameters=RequestParameters(allow=allow))
    assert request(encode_request(frame, {})).allow is allow


def test_an_unknown_rung_is_refused() -> None:
    """What a client means by a rung that does not exist cannot be guessed."""
    with pytest.raises(RequestError, match=r"allow") as caught:
        request(text(parameters={"allow": "cellar"}))
    assert caught.value.code is ErrorCode.MALFORMED


def test_rungs_are_ordered_from_the_primary_down() -> None:
    """The depth is the order in which the ladder goes down."""
    assert [rung.depth for rung in Rung] == list(range(7))
    assert (Rung.PRIMARY.depth, Rung.FALLBACK.depth, Rung.STOP.depth) == (0, 3, 6)


def test_an_answer_says_what_it_is_worth() -> None:
    """Rung, degraded, failsafe, age and shedding arrive; a full answer spends no bytes on them."""
    about = AnswerParameters(
        rung=Rung.LAST_GOOD, degraded=True, failsafe=True, shed=4, age_ms=812.5
    )
    frame = encode_answer(ServerFrame(id="1", parameters=about), [], binary=False)
    assert decode_server_frame(frame)[0].parameters == about
    plain = encode_answer(ServerFrame(id="1", parameters=AnswerParameters()), [], binary=False)
    assert isinstance(plain, str)
    assert not any(word in plain for word in ("rung", "degraded", "failsafe", "shed", "age_ms"))


def test_frames_may_mix_json_and_binary_tensors() -> None:
    """Only tensors with a binary size take bytes from the body; the rest brings its data."""
    first, last = np.arange(2, dtype="<i4"), np.arange(2, 4, dtype="<i4")
    body = first.tobytes().ljust(64, b"\0") + last.tobytes()
    frame = binary(sized(8), tensor([9, 8], name="y"), sized(8, name="z"), body=body)
    found = {name: array.tolist() for name, array in request(frame).inputs.items()}
    assert found == {"x": [0, 1], "y": [9, 8], "z": [2, 3]}


@pytest.mark.parametrize("padding", [0, 1, 56])
def test_padding_after_the_last_tensor_is_free(padding: int) -> None:
    """The last tensor may end the frame, or be padded up to the next 64 bytes."""
    frame = binary(sized(8), body=bytes(8 + padding))
    assert request(frame).inputs["x"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (text(id="a"), "a"),
        (text(id="a", colour=1), "a"),
        (binary(), ""),
        (binary().replace(b'"m"', b'"m","id":"b"', 1), ""),
        ('{"id":"i', ""),
        ('{"id":3}', ""),
        ("", ""),
        (b"\0", ""),
        ('{"id":"\ud800"}', ""),
        ("[" * 100_000, ""),
        (text(id="i" * 1000), "i" * MAX_ID_LENGTH),
    ],
)
def test_peek_finds_the_id_if_there_is_one(frame: str | bytes, expected: str) -> None:
    """A refusal can carry the id of a request that is wrong elsewhere; never an endless one."""
    assert peek_id(frame) == expected


def test_peek_reads_binary_frames() -> None:
    """The id of a binary request is found in its header."""
    assert peek_id(encode_request(ClientFrame(model_name="m", id="b"), {"x": np.ones(3)})) == "b"
