"""A real agent answers real clients, and tells them what is wrong with a request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edgeconsole.client import EdgeClient, SyncEdgeClient
from edgeconsole.errors import AuthError, ErrorCode, LinkError, RequestError
from edgeconsole.protocol.inference import Rung


def open_raw(agent, path="/v1/infer", **options) -> connect:
    """Connect as any websocket client would."""
    headers = {"Authorization": f"Bearer {agent.token}", **options.pop("headers", {})}
    return connect(agent.url + path, additional_headers=headers, max_size=None, **options)


def request(image, **changes) -> dict[str, object]:
    """Return a valid V2 request as JSON would have it, with changes."""
    return {
        "model_name": "digits",
        "id": "r1",
        "inputs": [
            {
                "name": "image",
                "shape": [1, 1, 8, 8],
                "datatype": "FP32",
                "data": image.ravel().tolist(),
            }
        ],
        **changes,
    }


async def ask(connection: ClientConnection, message: object) -> dict[str, object]:
    """Send one frame and return the decoded text frame that answers it."""
    await connection.send(message if isinstance(message, str | bytes) else json.dumps(message))
    async with asyncio.timeout(10):
        return json.loads(await connection.recv())


async def test_a_client_gets_the_right_digits(shared_agent, heldout):
    """At least 98 % of 200 held-out images are read right, each answer says where it comes from."""
    images, labels = heldout
    async with EdgeClient(shared_agent.url, token=shared_agent.token) as client:
        results = await asyncio.gather(
            *(
                client.infer("digits", {"image": images[i : i + 1]}, priority=i % 11)
                for i in range(200)
            )
        )
    right = sum(int(r.outputs["logits"].argmax() == labels[i]) for i, r in enumerate(results))
    assert right >= 196
    result = results[0]
    assert (result.rung, result.degraded, result.device) == (Rung.PRIMARY, False, "dev-1")
    assert (result.model, result.model_version, result.variant) == ("digits", "1", "fp32")
    timing = result.timing
    assert 0 <= timing.queue_ms <= timing.total_ms <= timing.round_trip_ms
    assert 0 < timing.infer_ms <= timing.total_ms


async def test_text_and_binary_frames_give_the_same_answer(shared_agent, heldout):
    """The JSON form of a request and its binary form are the same request."""
    image = heldout[0][:3]
    async with EdgeClient(shared_agent.url, token_file=shared_agent.token_file) as client:
        binary = await client.infer("digits", {"image": image})
        text = await client.infer("digits", {"image": image}, binary=False)
    np.testing.assert_array_equal(binary.outputs["logits"], text.outputs["logits"])
    assert binary.outputs["logits"].shape == (3, 10)


def test_the_synchronous_twin_answers_alike(shared_agent, heldout):
    """Code without an event loop gets the same answers and the same errors."""
    images, labels = heldout
    with SyncEdgeClient(shared_agent.url, token=shared_agent.token) as client:
        result = client.infer("digits", {"image": images[:20]})
        assert (result.outputs["logits"].argmax(1) == labels[:20]).sum() >= 19
        with pytest.raises(RequestError) as caught:
            client.infer("nothing", {"image": images[:1]})
        assert caught.value.code is ErrorCode.UNKNOWN_MODEL


def frame(header: object, *tensors: bytes, length: int | None = None) -> bytes:
    """Return a binary frame."""
    text = json.dumps(header).encode()
    data = struct.pack("<I", len(text) if length is None else length) + text
    for tensor in tensors:
        data += b"\0" * (-len(data) % 64) + tensor
    return data


def wrong(**tensor: object) -> object:
    """Return a change of the one input tensor."""

    def change(image) -> dict[str, object]:
        message = request(image)
        message["inputs"][0].update(tensor)  # type: ignore[index]
        return message

    return change


BINARY_INPUT = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32"}
WRONG_REQUESTS = {
    "not json": (lambda _: "{", ErrorCode.MALFORMED),
    "json of another kind": (lambda _: "[1, 2]", ErrorCode.MALFORMED),
    "deeply nested": (lambda _: "[" * 100_000, ErrorCode.MALFORMED),
    "empty": (lambda _: "", ErrorCode.MALFORMED),
    "unknown field": (lambda i: request(i, modle="x"), ErrorCode.MALFORMED),
    "no model": (lambda i: request(i, model_name=""), ErrorCode.MALFORMED),
    "unknown model": (lambda i: request(i, model_name="cats"), ErrorCode.UNKNOWN_MODEL),
    "unknown version": (lambda i: request(i, model_version="9"), ErrorCode.UNKNOWN_MODEL),
    "hostile name": (lambda i: request(i, model_name="../../etc"), ErrorCode.UNKNOWN_MODEL),
    "no input": (lambda i: request(i, inputs=[]), ErrorCode.BAD_INPUT_NAME),
    "wrong input name": (wrong(name="img"), ErrorCode.BAD_INPUT_NAME),
    "wrong datatype": (wrong(datatype="FP64"), ErrorCode.BAD_DATATYPE),
    "no such datatype": (wrong(datatype="FP31"), ErrorCode.BAD_DATATYPE),
    "wrong rank": (wrong(shape=[64]), ErrorCode.BAD_SHAPE),
    "wrong dimension": (wrong(shape=[1, 1, 4, 16]), ErrorCode.BAD_SHAPE),
    "huge shape": (wrong(shape=[2**31 - 1] * 4), ErrorCode.BAD_SHAPE),
    "negative shape": (wrong(shape=[-1, 1, 8, 8]), ErrorCode.BAD_SHAPE),
    "empty batch": (wrong(shape=[0, 1, 8, 8], data=[]), ErrorCode.BAD_SHAPE),
    "too few values": (wrong(data=[0.0] * 63), ErrorCode.BAD_DATA_SIZE),
    "text for numbers": (wrong(data=["x"] * 64), ErrorCode.BAD_VALUE),
    "overflow": (wrong(data=[1e300] * 64), ErrorCode.BAD_VALUE),
    "unknown output": (lambda i: request(i, outputs=[{"name": "x"}]), ErrorCode.BAD_PARAMETER),
    "priority": (lambda i: request(i, parameters={"priority": 11}), ErrorCode.BAD_PARAMETER),
    "deadline": (lambda i: request(i, parameters={"deadline_ms": -1}), ErrorCode.BAD_PARAMETER),
    "short binary": (lambda _: b"\x01", ErrorCode.MALFORMED),
    "lying header length": (lambda _: frame({}, length=2**31), ErrorCode.MALFORMED),
    "binary nan": (
        lambda i: frame(
            request(i, inputs=[{**BINARY_INPUT, "parameters": {"binary_data_size": 256}}]),
            np.full(64, np.nan, "<f4").tobytes(),
        ),
        ErrorCode.BAD_VALUE,
    ),
    "binary bytes missing": (
        lambda i: frame(
            request(i, inputs=[{**BINARY_INPUT, "parameters": {"binary_data_size": 256}}]), b"123"
        ),
        ErrorCode.BAD_DATA_SIZE,
    ),
    "binary size differs from shape": (
        lambda i: frame(
            request(i, inputs=[{**BINARY_INPUT, "parameters": {"binary_data_size": 128}}]),
            bytes(128),
        ),
        ErrorCode.BAD_DATA_SIZE,
    ),
    "above the soft limit": (lambda _: "x" * 1_100_000, ErrorCode.FRAME_TOO_LARGE),
    "above the soft limit, binary": (lambda _: bytes(1_100_000), ErrorCode.FRAME_TOO_LARGE),
}


@pytest.mark.parametrize("case", WRONG_REQUESTS)
async def test_a_wrong_request_gets_a_typed_error_and_costs_nothing_else(
    shared_agent, heldout, case
):
    """The error has a code and a sentence; the same connection then answers a right request."""
    make, code = WRONG_REQUESTS[case]
    image = heldout[0][0]
    async with open_raw(shared_agent) as connection:
        answer = await ask(connection, make(image))
        assert answer["code"] == code
        assert len(str(answer["error"])) > 10
        assert "Traceback" not in str(answer)
        right = await ask(connection, request(image, id="after"))
        assert (right["id"], right.get("error")) == ("after", None)
    assert shared_agent.process.poll() is None


async def test_an_error_carries_the_id_of_its_request(shared_agent, heldout):
    """With several requests in flight a client can tell which one was refused."""
    async with open_raw(shared_agent) as connection:
        answer = await ask(connection, request(heldout[0][0], id="mine", model_name="cats"))
    assert answer["id"] == "mine"


async def test_a_message_above_the_hard_limit_costs_only_its_connection(shared_agent, heldout):
    """A frame that declares 1 TiB closes its connection with 1009 at once; the agent serves on."""
    async with open_raw(shared_agent) as connection:
        connection.transport.write(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4))
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009
    async with EdgeClient(shared_agent.url, token=shared_agent.token) as client:
        assert (await client.infer("digits", {"image": heldout[0][:1]})).rung is Rung.PRIMARY


async def test_the_client_does_not_send_what_the_agent_will_not_take(shared_agent):
    """The agent says how much it takes; a larger request fails at once, smaller ones go on."""
    async with EdgeClient(shared_agent.url, token=shared_agent.token) as client:
        with pytest.raises(RequestError, match="above the agent's limit") as caught:
            await client.infer("digits", {"image": np.zeros((40_000, 1, 8, 8), np.float32)})
        assert caught.value.code is ErrorCode.FRAME_TOO_LARGE
        await client.infer("digits", {"image": np.zeros((1, 1, 8, 8), np.float32)})


async def test_an_id_in_flight_cannot_be_used_again(agents, heldout):
    """Two open requests never share an id, so that an answer belongs to one of them."""
    agent = agents.start(agents.write())
    async with open_raw(agent) as connection:
        text = json.dumps(request(heldout[0][0]))
        await connection.send(text)
        await connection.send(text)
        answers = [json.loads(await connection.recv()) for _ in range(2)]
    codes = sorted(str(answer.get("code", "")) for answer in answers)
    assert codes in (["", "DUPLICATE_ID"], ["", ""])  # The second is fine once the first is done.


async def test_a_short_deadline_is_refused_not_answered_late(shared_agent, heldout):
    """A deadline nobody can meet is refused by its name, and the connection lives."""
    image = np.repeat(heldout[0][:1], 512, axis=0)
    async with EdgeClient(shared_agent.url, token=shared_agent.token) as client:
        with pytest.raises(RequestError) as caught:
            await client.infer("digits", {"image": image}, deadline_ms=0.01)
        assert caught.value.code in (
            ErrorCode.DEADLINE_EXCEEDED,
            ErrorCode.DEADLINE_UNREACHABLE,
        )
        await client.infer("digits", {"image": image[:1]})


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": "Bearer wrong"}, 401, ErrorCode.UNAUTHENTICATED),
        ({"Authorization": ""}, 401, ErrorCode.UNAUTHENTICATED),
        ({"Origin": "http://evil.example"}, 403, ErrorCode.FORBIDDEN),
        ({"Origin": "null"}, 403, ErrorCode.FORBIDDEN),
    ],
)
async def test_strangers_and_web_pages_are_refused_with_a_reason(
    shared_agent, headers, status, code
):
    """The refusal is an HTTP status with a typed JSON body; the right token is no pass for a page."""
    with pytest.raises(InvalidStatus) as caught:
        async with open_raw(shared_agent, headers=headers):
            pytest.fail("the handshake was accepted")
    response = caught.value.response
    assert response.status_code == status
    body = json.loads(response.body or b"{}")
    assert body["code"] == code
    assert len(body["error"]) > 10


async def test_other_paths_hosts_and_subprotocols_are_refused(shared_agent):
    """Only the two paths, this machine's names and our subprotocol are spoken."""
    for options, status in (
        ({"path": "/v2/infer"}, 404),
        ({"subprotocols": ["mqtt"]}, 400),
        ({"headers": {"Host": "evil.example"}}, 403),
    ):
        with pytest.raises((InvalidStatus, LinkError)) as caught:
            async with open_raw(shared_agent, **options):
                pytest.fail(f"{options} was accepted")
        assert caught.value.response.status_code == status


async def test_the_client_names_what_is_wrong(shared_agent):
    """A wrong token is an AuthError, nobody there a LinkError; both say what to do."""
    with pytest.raises(AuthError, match="token is missing or wrong") as caught:
        async with EdgeClient(shared_agent.url, token="x" * 43):
            pytest.fail("accepted")
    assert caught.value.hint
    with pytest.raises(LinkError, match="cannot be reached"):
        async with EdgeClient("ws://127.0.0.1:9", token="x"):
            pytest.fail("accepted")


async def test_a_request_can_be_cancelled(agents, heldout):
    """A cancelled request frees its place and is answered with CANCELLED."""
    agent = agents.start(agents.write())
    stopped = agent.worker_pids()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        async with open_raw(agent) as connection:
            await connection.send(
                json.dumps(request(heldout[0][0], parameters={"deadline_ms": 4000}))
            )
            await connection.send(json.dumps({"cancel": "r1"}))
            async with asyncio.timeout(2):
                answer = json.loads(await connection.recv())
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert (answer["id"], answer["code"]) == ("r1", ErrorCode.CANCELLED)


async def test_a_thousand_refusals_leave_the_connection_as_it_was(shared_agent, heldout):
    """Refused requests free their ids and their places: the connection serves on, ids can return."""
    async with open_raw(shared_agent) as connection:
        for _ in range(1000):
            await connection.send(json.dumps(request(heldout[0][0], model_name="cats")))
        for _ in range(1000):
            assert json.loads(await connection.recv())["code"] == ErrorCode.UNKNOWN_MODEL
        assert (await ask(connection, request(heldout[0][0]))).get("error") is None


async def test_a_client_that_sends_faster_than_it_reads_is_slowed_not_dropped(
    shared_agent, heldout
):
    """Two thousand requests sent at once are all answered, though at most 256 are open at a time."""
    async with EdgeClient(shared_agent.url, token=shared_agent.token) as client:
        results = await asyncio.gather(
            *(
                client.infer("digits", {"image": heldout[0][:1]}, deadline_ms=30_000)
                for _ in range(2000)
            )
        )
    assert len(results) == 2000
