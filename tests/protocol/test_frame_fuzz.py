"""Mutated frames: whatever a peer sends, the decoders answer or raise `RequestError`.

Each test draws its seed from `random`, which pytest-randomly seeds, and prints it.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.control import (
    Done,
    EventPush,
    Failed,
    Hello,
    LoadModel,
    Subscribe,
    decode_agent_message,
    decode_command,
    encode,
)
from edgeconsole.protocol.inference import (
    AnswerParameters,
    ClientFrame,
    InferRequest,
    OutputRequest,
    RequestParameters,
    ServerFrame,
    decode_server_frame,
    encode_answer,
    encode_cancel,
    encode_request,
    peek_id,
)
from edgeconsole.protocol.reader import RequestReader
from edgeconsole.protocol.telemetry import DeviceEvent, Severity
from edgeconsole.protocol.tensors import Array, Datatype, element_count
from faults.mutate import mutate


def frames(
    rng: random.Random, texts: list[str], binaries: list[bytes]
) -> Callable[[], str | bytes]:
    """Return a source of mutated frames; a mutated header may keep an honest length."""
    headers = [frame[4 : 4 + struct.unpack_from("<I", frame)[0]] for frame in binaries]
    bodies = [frame[4 + len(header) :] for frame, header in zip(binaries, headers, strict=True)]
    encoded = [text.encode() for text in texts]

    def once() -> str | bytes:
        kind = rng.randrange(3) if binaries else 0
        times = rng.choice((1, 1, 1, 2, 5))
        data = rng.choice((encoded, binaries, headers)[kind])
        index = headers.index(data) if kind == 2 else 0
        for _ in range(times):
            data = mutate(rng, data, binaries if kind == 1 else encoded)
        if kind == 0:
            return data.decode(errors="surrogateescape")
        if kind == 1:
            return data
        head = struct.pack("<I", len(data)) + data
        body = bodies[index][-(len(bodies[index]) // 64 * 64) :] if rng.random() < 0.9 else b""
        return head.ljust(-(-len(head) // 64) * 64, b"\0") + body

    return once


def check_tensors(tensors: dict[str, Array]) -> None:
    """Check that what got through is a whole array of a known datatype."""
    for array in tensors.values():
        assert Datatype.of(array.dtype).dtype == array.dtype
        assert array.size == element_count(array.shape)


def requests() -> tuple[list[str], list[bytes]]:
    """Return good requests as text and as binary."""
    rng = np.random.default_rng(0)
    inputs = {"x": rng.random((2, 3), dtype="f4"), "ids": np.arange(4)}
    frame = ClientFrame(
        model_name="digits",
        model_version="1",
        id="42",
        parameters=RequestParameters(deadline_ms=50, priority=7, binary_data_output=True),
        outputs=[OutputRequest("logits")],
    )
    flags: dict[str, Array] = {"flags": np.array([True, False]), "none": np.empty((0, 4), "u1")}
    several = (inputs, {"x": inputs["x"]}, flags)
    texts = [encode_request(frame, each, binary=False) for each in several]
    binaries = [encode_request(frame, each) for each in several]
    return (
        [*(each for each in texts if isinstance(each, str)), encode_cancel("42")],
        [each for each in binaries if isinstance(each, bytes)],
    )


def answers() -> tuple[list[str], list[bytes]]:
    """Return good answers as text and as binary."""
    outputs: list[tuple[str, Array]] = [("logits", np.arange(10, dtype="f4").reshape(1, 10))]
    frame = ServerFrame(id="1", model_name="m", parameters=AnswerParameters(variant="v"))
    text = encode_answer(frame, outputs, binary=False)
    data = encode_answer(frame, outputs, binary=True)
    assert isinstance(text, str)
    assert isinstance(data, bytes)
    return [text], [data]


def take_request(frame: str | bytes) -> None:
    """Decode what a client might send, and look for its id."""
    peeked = peek_id(frame)
    assert isinstance(peeked, str)
    decoded = RequestReader().read(frame)
    if isinstance(decoded, InferRequest):
        assert peeked == decoded.id
        assert decoded.model_name
        assert 0 <= decoded.priority <= 10
        assert decoded.deadline_ms is None or 0 < decoded.deadline_ms <= 3_600_000
        check_tensors(decoded.inputs)


def take_answer(frame: str | bytes) -> None:
    """Decode what an agent might answer."""
    check_tensors(decode_server_frame(frame)[1])


EVENT = DeviceEvent("d", "b", 4, 1.75e9, Severity.INFO, "kind", "text")
COMMANDS = [encode(each) for each in (Hello("1", "c"), Subscribe("2"), LoadModel("3", "digits"))]
MESSAGES = [encode(each) for each in (Done("1"), Failed("2", "c", "e"), EventPush(EVENT))]

KINDS: dict[str, tuple[Callable[[str | bytes], object], list[str], list[bytes]]] = {
    "requests": (take_request, *requests()),
    "answers": (take_answer, *answers()),
    "commands": (decode_command, COMMANDS, []),
    "agent messages": (decode_agent_message, MESSAGES, []),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [10_000])
def test_mutated_frames_are_read_or_refused(kind: str, count: int) -> None:
    """No mutated frame raises anything but `RequestError`, and not all of them are refused."""
    decode, texts, binaries = KINDS[kind]
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    once = frames(random.Random(seed), texts, binaries)
    outcomes: Counter[ErrorCode | None] = Counter()
    for _ in range(count):
        frame = once()
        try:
            decode(frame)
        except RequestError as error:
            outcomes[error.code] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {frame!r}") from error
        else:
            outcomes[None] += 1
    assert outcomes[None] > count // 200
    assert outcomes[ErrorCode.MALFORMED] > count // 4


def test_mutated_requests_reach_every_check() -> None:
    """The mutations are deep enough to be refused for every reason a decoder has."""
    decode, texts, binaries = KINDS["requests"]
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    once = frames(random.Random(seed), texts, binaries)
    missing = {
        ErrorCode.MALFORMED,
        ErrorCode.BAD_INPUT_NAME,
        ErrorCode.BAD_DATATYPE,
        ErrorCode.BAD_SHAPE,
        ErrorCode.BAD_DATA_SIZE,
        ErrorCode.BAD_VALUE,
        ErrorCode.BAD_PARAMETER,
    }
    for _ in range(50_000):
        try:
            decode(once())
        except RequestError as error:
            missing.discard(error.code)
        if not missing:
            return
    pytest.fail(f"seed {seed}: never refused with {missing}")
