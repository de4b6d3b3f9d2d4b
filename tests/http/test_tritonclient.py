"""An unmodified `tritonclient.http` speaks to an agent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

triton = pytest.importorskip("tritonclient.http")
from tritonclient.utils import InferenceServerException  # noqa: E402


@pytest.fixture
def client(http_agent) -> Iterator[tuple[triton.InferenceServerClient, dict[str, str]]]:
    """Return a client and the headers it sends."""
    port = http_agent.log.partition("for HTTP on port ")[2].split()[0]
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as found:
        yield found, {"Authorization": f"Bearer {http_agent.token}"}


def image_input(images: np.ndarray, *, binary: bool = True) -> triton.InferInput:
    """Return images as the client's input."""
    tensor = triton.InferInput("image", list(images.shape), "FP32")
    return tensor.set_data_from_numpy(images, binary_data=binary)


def test_it_sees_health_metadata_and_index(client):
    """Everything a client asks before it infers is answered."""
    server, headers = client
    assert server.is_server_live()
    assert server.is_server_ready(headers=headers)
    assert server.is_model_ready("digits", headers=headers)
    assert server.is_model_ready("digits", "1", headers=headers)
    assert not server.is_model_ready("digits", "2", headers=headers)
    assert not server.is_server_ready()  # Without a token.
    assert server.get_server_metadata(headers=headers)["name"] == "edgeconsole"
    assert server.get_model_metadata("digits", headers=headers)["versions"] == ["1"]
    index = server.get_model_repository_index(headers=headers)
    assert {entry["name"] for entry in index} == {"digits", "digits-tiny"}


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [None, True, False])
def test_it_infers(client, heldout, binary_input, binary_output):
    """Inputs and outputs in both forms, and outputs left to the client's default."""
    server, headers = client
    images, labels = heldout[0][:20], heldout[1][:20]
    outputs = (
        None
        if binary_output is None
        else [triton.InferRequestedOutput("logits", binary_data=binary_output)]
    )
    result = server.infer(
        "digits",
        [image_input(images, binary=binary_input)],
        outputs=outputs,
        request_id="mine",
        headers=dict(headers),
        parameters={"deadline_ms": 900, "cache": False},
    )
    assert (result.as_numpy("logits").argmax(1) == labels).sum() >= 19
    said = result.get_response()
    assert (said["id"], said["model_version"]) == ("mine", "1")


def test_it_infers_without_waiting(client, heldout):
    """Its asynchronous form works alike."""
    server, headers = client
    asked = [
        server.async_infer("digits", [image_input(heldout[0][:1])], headers=dict(headers))
        for _ in range(8)
    ]
    assert all(each.get_result().as_numpy("logits").shape == (1, 10) for each in asked)


def test_errors_reach_it_as_sentences(client, heldout):
    """The exception has our sentence and the status."""
    server, headers = client
    image = image_input(heldout[0][:1])
    for options, status, words in (
        ({"model_name": "cats"}, "404", "no loaded model answers to 'cats'"),
        ({"headers": {}}, "401", "token is missing or wrong"),
        ({"sequence_id": 7}, "400", "sequence_id"),
        ({"parameters": {"deadline_ms": -1}}, "400", "deadline_ms must be above 0"),
        ({"request_compression_algorithm": "gzip"}, "415", "not accepted"),
    ):
        arguments = {"model_name": "digits", "inputs": [image], "headers": dict(headers)}
        with pytest.raises(InferenceServerException, match=words) as caught:
            server.infer(**{**arguments, **options})
        assert caught.value.status() == status
