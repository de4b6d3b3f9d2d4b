"""The Open Inference Protocol over HTTP: right requests are answered, wrong ones get typed errors."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal

import numpy as np
import pytest

from edgeconsole.client import EdgeClient
from edgeconsole.errors import ErrorCode
from edgeconsole.protocol.inference import Rung

INFER = "/v2/models/digits/infer"
HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY_INPUT = {
    "name": "image",
    "shape": [1, 1, 8, 8],
    "datatype": "FP32",
    "parameters": {"binary_data_size": 256},
}


def packed(header: object, *tensors: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a binary request's body and its header."""
    text = json.dumps(header).encode()
    return text + b"".join(tensors), {HEADER_LENGTH: str(len(text))}


def arrays(answer) -> dict[str, np.ndarray]:
    """Return an answer's outputs, whether they came as JSON or as binary."""
    length = int(answer.headers.get(HEADER_LENGTH, len(answer.body)))
    outputs, offset = {}, length
    for tensor in json.loads(answer.body[:length])["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = np.array(tensor["data"], np.float32)
        else:
            values = np.frombuffer(answer.body[offset : offset + size], np.float32)
            offset += size
        outputs[tensor["name"]] = values.reshape(tensor["shape"])
    assert offset == len(answer.body)
    return outputs


async def test_json_and_binary_give_the_same_answer(door, heldout, request_for):
    """Each form of input with each form of output reads the same digits; the id comes back."""
    images, labels = heldout[0][:20], heldout[1][:20]
    found = []
    for wanted in (False, True):
        message = request_for(images, parameters={"binary_data_output": wanted})
        found.append(await door.ask(INFER, message))
        tensor = {**BINARY_INPUT, "shape": [20, 1, 8, 8]}
        tensor["parameters"] = {"binary_data_size": images.nbytes}
        body, headers = packed({**message, "inputs": [tensor]}, images.tobytes())
        found.append(await door.ask(INFER, body, headers=headers))
    assert [answer.status for answer in found] == [200] * 4
    assert [HEADER_LENGTH in answer.headers for answer in found] == [False, False, True, True]
    first = arrays(found[0])["logits"]
    assert (first.argmax(1) == labels).sum() >= 19
    for answer in found[1:]:
        np.testing.assert_allclose(arrays(answer)["logits"], first, rtol=1e-5, atol=1e-5)
    said = found[0].json
    assert (said["id"], said["model_name"], said["model_version"]) == ("r1", "digits", "1")
    assert said["parameters"]["variant"] == "fp32"
    assert 0 < said["parameters"]["infer_ms"] <= said["parameters"]["total_ms"]


async def test_an_output_chooses_its_own_form(door, heldout, request_for):
    """`parameters.binary_data` of an output wins over the request's `binary_data_output`."""
    for whole, own in ((True, False), (False, True)):
        outputs = [{"name": "logits", "parameters": {"binary_data": own}}]
        message = request_for(
            heldout[0][:1], outputs=outputs, parameters={"binary_data_output": whole}
        )
        answer = await door.ask(INFER, message)
        assert (HEADER_LENGTH in answer.headers) is own
        assert arrays(answer)["logits"].shape == (1, 10)


async def test_a_binary_request_may_lie_at_any_offset(door, heldout, request_for):
    """HTTP does not pad: whatever the JSON's length, the tensor behind it is read right."""
    image = heldout[0][:1]
    expected = arrays(await door.ask(INFER, request_for(image)))["logits"]
    for length in range(1, 9):
        message = {"id": "x" * length, "inputs": [BINARY_INPUT]}
        body, headers = packed(message, image.tobytes())
        answer = await door.ask(f"{INFER}", body, headers=headers)
        np.testing.assert_allclose(arrays(answer)["logits"], expected, rtol=1e-5)


async def test_a_version_is_asked_for_in_the_path(door, heldout, request_for):
    """The version that is loaded answers, another one is not found."""
    message = request_for(heldout[0][:1])
    assert (await door.ask("/v2/models/digits/versions/1/infer", message)).status == 200
    answer = await door.ask("/v2/models/digits/versions/9/infer", message)
    assert (answer.status, answer.json["code"]) == (404, "UNKNOWN_MODEL")


def changed(**tensor: object) -> object:
    """Return a change of the one input tensor."""

    def change(message: dict[str, list[dict[str, object]]]) -> object:
        message["inputs"][0].update(tensor)
        return message

    return change


def with_(**fields: object) -> object:
    """Return a change of the request."""
    return lambda message: {**message, **fields}


def binary(size: int, data: bytes) -> object:
    """Return a change to a binary request that declares `size` bytes and has `data`."""
    tensor = {**BINARY_INPUT, "parameters": {"binary_data_size": size}}
    return lambda message: packed({**message, "inputs": [tensor]}, data)


WRONG_REQUESTS = {
    "not json": (lambda _: b"{", ErrorCode.MALFORMED),
    "json of another kind": (lambda _: [1, 2], ErrorCode.MALFORMED),
    "deeply nested": (lambda _: b"[" * 100_000, ErrorCode.MALFORMED),
    "empty": (lambda _: b"", ErrorCode.MALFORMED),
    "not utf-8": (lambda _: b'{"id": "\xff"}', ErrorCode.MALFORMED),
    "unknown field": (with_(modle="x"), ErrorCode.MALFORMED),
    "unknown parameter": (with_(parameters={"sequence_id": 1}), ErrorCode.MALFORMED),
    "unknown output parameter": (
        with_(outputs=[{"name": "logits", "parameters": {"classification": 3}}]),
        ErrorCode.MALFORMED,
    ),
    "shared memory": (
        changed(parameters={"shared_memory_region": "x"}, data=None),
        ErrorCode.MALFORMED,
    ),
    "long id": (with_(id="x" * 200), ErrorCode.MALFORMED),
    "no input": (with_(inputs=[]), ErrorCode.BAD_INPUT_NAME),
    "wrong input name": (changed(name="img"), ErrorCode.BAD_INPUT_NAME),
    "wrong datatype": (changed(datatype="FP64"), ErrorCode.BAD_DATATYPE),
    "no such datatype": (changed(datatype="FP31"), ErrorCode.BAD_DATATYPE),
    "wrong rank": (changed(shape=[64]), ErrorCode.BAD_SHAPE),
    "wrong dimension": (changed(shape=[1, 1, 4, 16]), ErrorCode.BAD_SHAPE),
    "huge shape": (changed(shape=[2**31 - 1] * 4), ErrorCode.BAD_SHAPE),
    "negative shape": (changed(shape=[-1, 1, 8, 8]), ErrorCode.BAD_SHAPE),
    "empty batch": (changed(shape=[0, 1, 8, 8], data=[]), ErrorCode.BAD_SHAPE),
    "too few values": (changed(data=[0.0] * 63), ErrorCode.BAD_DATA_SIZE),
    "text for numbers": (changed(data=["x"] * 64), ErrorCode.BAD_VALUE),
    "overflow": (changed(data=[1e300] * 64), ErrorCode.BAD_VALUE),
    "unknown output": (with_(outputs=[{"name": "x"}]), ErrorCode.BAD_PARAMETER),
    "priority": (with_(parameters={"priority": 11}), ErrorCode.BAD_PARAMETER),
    "deadline": (with_(parameters={"deadline_ms": -1}), ErrorCode.BAD_PARAMETER),
    "header length is no number": (
        lambda _: (b"{}", {HEADER_LENGTH: "-1"}),
        ErrorCode.MALFORMED,
    ),
    "lying header length": (lambda _: (b"{}", {HEADER_LENGTH: "2147483648"}), ErrorCode.MALFORMED),
    "binary nan": (binary(256, np.full(64, np.nan, "<f4").tobytes()), ErrorCode.BAD_VALUE),
    "binary bytes missing": (binary(256, b"123"), ErrorCode.BAD_DATA_SIZE),
    "binary bytes too many": (binary(256, bytes(257)), ErrorCode.BAD_DATA_SIZE),
    "binary size differs from shape": (binary(128, bytes(128)), ErrorCode.BAD_DATA_SIZE),
    "binary without its header": (
        lambda message: {**message, "inputs": [BINARY_INPUT]},
        ErrorCode.BAD_DATA_SIZE,
    ),
}


@pytest.mark.parametrize("case", WRONG_REQUESTS)
async def test_a_wrong_request_gets_a_typed_error_and_costs_nothing_else(
    door, heldout, request_for, case
):
    """The error is a 400 with a code and a sentence; a right request is answered afterwards."""
    make, code = WRONG_REQUESTS[case]
    image = heldout[0][:1]
    body = make(request_for(image))
    body, headers = body if isinstance(body, tuple) else (body, {})
    answer = await door.ask(INFER, body, headers=headers)
    assert (answer.status, answer.json["code"]) == (400, code)
    assert len(answer.json["error"]) > 10
    assert b"Traceback" not in answer.body
    assert (await door.ask(INFER, request_for(image))).status == 200


@pytest.mark.parametrize("name", ["cats", "..%2F..%2Fetc", "%00"])
async def test_an_unknown_model_is_not_found(door, heldout, request_for, name):
    """Also one with a hostile name; the answer is typed."""
    answer = await door.ask(f"/v2/models/{name}/infer", request_for(heldout[0][:1]))
    assert answer.status == 404
    assert len(answer.json["error"]) > 10


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_request_above_the_limit_is_refused(door, chunked):
    """The refusal is a typed 413, also where the size is not declared; the agent serves on."""

    async def chunks():
        for _ in range(20):
            yield bytes(64 * 1024)

    data = chunks() if chunked else io.BytesIO(bytes(1_100_000))
    async with door.session.post(
        f"http://{door.address}{INFER}", data=data, headers=door.headers
    ) as response:
        assert response.status == 413
        body = await response.json()
    assert body["code"] == ErrorCode.FRAME_TOO_LARGE
    assert "max_message_bytes" in body["hint"]
    assert (await door.ask("/v2/health/ready")).status == 200


async def test_compressed_requests_are_not_accepted(door):
    """A compressed body is refused unread: nobody makes the agent inflate anything."""
    answer = await door.ask(INFER, b"x", headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.json["code"]) == (415, ErrorCode.MALFORMED)


async def test_a_short_deadline_is_refused_not_answered_late(door, heldout, request_for):
    """A deadline nobody can meet gives 504, or 429 with the wait, and says so in the code."""
    images = np.repeat(heldout[0][:1], 512, axis=0)
    answer = await door.ask(INFER, request_for(images, parameters={"deadline_ms": 0.01}))
    codes = {504: ErrorCode.DEADLINE_EXCEEDED, 429: ErrorCode.DEADLINE_UNREACHABLE}
    assert answer.json["code"] == codes[answer.status]


class Stopped:
    """Holds an agent's workers still, so that requests wait."""

    def __init__(self, agent) -> None:
        self._pids = agent.worker_pids()

    def __enter__(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGCONT)


async def waiting(door) -> tuple[float, float]:
    """Return how many requests of the model wait, and how many its worker has."""
    labels = frozenset({"model": "digits", "version": "1", "variant": "fp32"}.items())
    samples = await door.samples()
    return (
        samples["edgeconsole_queue_depth", labels],
        samples["edgeconsole_in_flight", labels],
    )


async def test_who_hangs_up_leaves_the_queue_at_once(new_door, heldout, request_for, eventually):
    """Requests of clients that have gone wait no longer; each counts as cancelled."""
    door = new_door("hang_timeout_s = 60.0")
    message = request_for(heldout[0][:1], parameters={"deadline_ms": 60_000})
    with Stopped(door.agent):
        asking = [asyncio.create_task(door.ask(INFER, message)) for _ in range(4)]

        async def all_there() -> bool:
            return await waiting(door) == (3, 1)

        await eventually(all_there)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

        async def all_gone() -> bool:
            return await waiting(door) == (0, 1)

        await eventually(all_gone)
        samples = await door.samples()
    cancelled = [
        value
        for (name, labels), value in samples.items()
        if name == "edgeconsole_refusals_total" and ("reason", "CANCELLED") in labels
    ]
    assert cancelled == [4]
    assert (await door.ask(INFER, request_for(heldout[0][:1]))).status == 200


async def test_both_doors_stand_before_one_queue(new_door, heldout, request_for, eventually):
    """A queue that HTTP clients filled is full for websocket clients, and the other way round."""
    door = new_door("hang_timeout_s = 60.0\nmax_queue = 1")
    message = request_for(heldout[0][:1], parameters={"deadline_ms": 60_000, "allow": "primary"})
    with Stopped(door.agent):
        asking = [asyncio.create_task(door.ask(INFER, message)) for _ in range(2)]

        async def both_there() -> bool:
            return await waiting(door) == (1, 1)

        await eventually(both_there)
        answer = await door.ask(INFER, message)
        assert (answer.status, answer.json["code"]) == (429, ErrorCode.QUEUE_FULL)
        assert int(answer.headers["Retry-After"]) >= 1
        async with EdgeClient(door.agent.url, token=door.agent.token) as client:
            with pytest.raises(Exception, match="wait already"):
                await client.infer(
                    "digits", {"image": heldout[0][:1]}, deadline_ms=60_000, allow=Rung.PRIMARY
                )
    assert [answer.status for answer in await asyncio.gather(*asking)] == [200, 200]
