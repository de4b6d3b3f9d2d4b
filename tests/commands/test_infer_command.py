"""`edgeconsole infer`: inputs from a file, the device from a URL or the fleet, the answer as text."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from edgeconsole.commands import infer
from edgeconsole.errors import AuthError, ConfigError, ErrorCode, RequestError
from edgeconsole.protocol.control import SUBPROTOCOL
from edgeconsole.protocol.inference import (
    AnswerParameters,
    InferRequest,
    Rung,
    ServerFrame,
    encode_answer,
    encode_error,
)
from edgeconsole.protocol.reader import RequestReader


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test no token, and state folders of its own."""
    monkeypatch.delenv("EDGECONSOLE_TOKEN", raising=False)
    monkeypatch.delenv("EDGECONSOLE_FLEET", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """Return a file with two inputs."""
    path = tmp_path / "inputs.npz"
    np.savez(path, x=np.arange(6, dtype="f4").reshape(2, 3), ids=np.arange(2))
    return path


def parsed(*arguments: str | Path, fleet: Path | None = None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fleet", type=Path)
    infer.add_parser(parser.add_subparsers())
    before = [] if fleet is None else ["--fleet", str(fleet)]
    return parser.parse_args([*before, "infer", *map(str, arguments)])


# Inputs.


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_inputs_are_read_by_name(tmp_path: Path, save: Callable[..., None]) -> None:
    """Arrays of every shape come back with their names, datatypes and values."""
    arrays = {"x": np.ones((2, 3), "f4"), "flag": np.array(True), "none": np.zeros((0, 4), "u1")}
    save(tmp_path / "a.npz", **arrays)
    found = infer._read_inputs(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def single(path: Path) -> None:
    """Write one array without a name."""
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def objects(path: Path) -> None:
    """Write an array that only a pickle can hold."""
    with path.open("wb") as file:
        np.savez(file, x=np.array([{}], dtype=object))


def words(path: Path) -> None:
    """Write an array of text."""
    with path.open("wb") as file:
        np.savez(file, x=np.array(["a"]))


def cut(path: Path) -> None:
    """Write the first half of a good file."""
    with path.open("wb") as file:
        np.savez(file, x=np.zeros(100))
    os.truncate(path, 400)


def flipped(path: Path) -> None:
    """Write a good file with wrong bytes in the middle of its data."""
    with path.open("wb") as file:
        np.savez(file, x=np.zeros(100))
    data = path.read_bytes()
    path.write_bytes(data[:300] + b"\x55" * 8 + data[308:])


def squeezed(path: Path) -> None:
    """Write a compressed file with wrong bytes in the middle of its data."""
    with path.open("wb") as file:
        np.savez_compressed(file, x=np.arange(3000))
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\x55" * 10 + data[110:])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda _: None, "there is no such file"),
    "folder": (lambda path: path.mkdir(), "is not an .npz of plain arrays"),
    "empty": (lambda path: path.write_bytes(b""), "is not an .npz of plain arrays"),
    "text": (lambda path: path.write_text("x = 1"), "is not an .npz of plain arrays"),
    "one array": (single, "is one array without a name"),
    "objects": (objects, "is not an .npz of plain arrays"),
    "words": (words, "numpy dtype <U1 has no Open Inference Protocol datatype"),
    "cut": (cut, "is not an .npz of plain arrays"),
    "flipped": (flipped, "is not an .npz of plain arrays"),
    "squeezed": (squeezed, "is not an .npz of plain arrays"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_inputs_are_explained(tmp_path: Path, case: str) -> None:
    """Whatever is wrong with the file, the error names it and says how to make a good one."""
    write, message = BAD[case]
    path = tmp_path / "bad.npz"
    write(path)
    with pytest.raises(ConfigError) as caught:
        infer._read_inputs(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message
    assert caught.value.hint == ("" if case == "absent" else "save it with numpy.savez")


# The device.


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Return a fleet file with one device and its token."""
    (tmp_path / "a.token").write_text("fleet-token\n")
    path = tmp_path / "fleet.toml"
    path.write_text(
        '[[devices]]\nid = "a"\nurl = "ws://127.0.0.1:1/"\ntoken_file = "a.token"\n'
        '[[devices]]\nid = "b"\nurl = "ws://127.0.0.1:2"\n'
    )
    return path


@pytest.mark.parametrize(
    ("device", "token", "expected"),
    [
        ("a", "", ("ws://127.0.0.1:1/", "fleet-token")),
        ("ws://127.0.0.1:1", "", ("ws://127.0.0.1:1/", "fleet-token")),
        ("a", "file", ("ws://127.0.0.1:1/", "file-token")),
        ("a", "environment", ("ws://127.0.0.1:1/", "environment-token")),
        ("ws://10.0.0.9:7311", "file", ("ws://10.0.0.9:7311", "file-token")),
        ("ws://10.0.0.9:7311", "environment", ("ws://10.0.0.9:7311", "environment-token")),
        ("ws://10.0.0.9:7311", "both", ("ws://10.0.0.9:7311", "file-token")),
    ],
)
def test_the_device_and_its_token(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, device: str, token: str, expected: tuple[str, str]
) -> None:
    """A given token file wins, then the environment, then the fleet's entry for the device."""
    options: list[str | Path] = [device, "m", "--input", "x.npz"]
    if token in ("file", "both"):
        given = fleet.parent / "given.token"
        given.write_text("file-token\n")
        options += ["--token-file", given]
    if token in ("environment", "both"):
        monkeypatch.setenv("EDGECONSOLE_TOKEN", "environment-token")
    assert infer._find_device(parsed(*options, fleet=fleet)) == expected


@pytest.mark.parametrize("device", ["c", "ws://127.0.0.1:3", "A"])
def test_an_unknown_device_is_explained(fleet: Path, device: str) -> None:
    """Whoever mistyped a name sees which there are."""
    with pytest.raises(ConfigError, match="is not a device of") as caught:
        infer._find_device(parsed(device, "m", "--input", "x.npz", fleet=fleet))
    assert "one of: a, b" in caught.value.hint


def test_a_device_without_a_token_is_explained(fleet: Path) -> None:
    """The missing token file is named."""
    with pytest.raises(AuthError, match="there is no token file"):
        infer._find_device(parsed("b", "m", "--input", "x.npz", fleet=fleet))


# The answer.


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, list[InferRequest]]]:
    """Return the address of a server that answers with twice the input, and what it was asked."""
    requests: list[InferRequest] = []

    async def handle(connection: ServerConnection) -> None:
        async for frame in connection:
            request = RequestReader().read(frame)
            assert isinstance(request, InferRequest)
            requests.append(request)
            if request.model_name != "double":
                error = RequestError(ErrorCode.UNKNOWN_MODEL, "no such model", hint="try double")
                await connection.send(encode_error(request.id, error))
                continue
            answer = ServerFrame(
                id=request.id,
                model_name="double",
                model_version="3",
                parameters=AnswerParameters(Rung.SHED, "int8", "dev", True, 0.5, 1.5, 2.5),
            )
            outputs = [("y", 2 * request.inputs["x"])]
            await connection.send(encode_answer(answer, outputs, binary=True))

    monkeypatch.setenv("EDGECONSOLE_TOKEN", "t" * 32)
    async with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


async def test_the_answer_as_json(
    asked: Any, npz: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole answer is one JSON object in the protocol's names; the options reach the agent."""
    url, requests = asked
    options = parsed(
        url, "double", "--input", npz, "--json", "--deadline-ms", "250", "--priority", "9"
    )
    assert await asyncio.to_thread(infer.run, options) == 0
    printed = json.loads(capsys.readouterr().out)
    timing = printed.pop("timing")
    assert timing.pop("round_trip_ms") > 0
    assert timing == {"queue_ms": 0.5, "infer_ms": 1.5, "total_ms": 2.5}
    assert printed == {
        "model_name": "double",
        "model_version": "3",
        "variant": "int8",
        "device": "dev",
        "rung": "shed",
        "degraded": True,
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [2, 3], "data": [0, 2, 4, 6, 8, 10]}
        ],
    }
    assert (requests[0].deadline_ms, requests[0].priority) == (250.0, 9)
    assert sorted(requests[0].inputs) == ["ids", "x"]


async def test_the_answer_as_text(
    asked: Any, npz: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """People see each output with its shape, and where the answer came from."""
    url, _ = asked
    assert await asyncio.to_thread(infer.run, parsed(url, "double", "--input", npz)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "y FP32 [2, 3]"
    assert lines[-1].startswith("double/3/int8 on dev, rung shed: queue 0.50 ms, infer 1.50 ms")


async def test_a_refusal_is_raised(asked: Any, npz: Path) -> None:
    """The agent's refusal ends the command with its code and its words."""
    url, _ = asked
    with pytest.raises(RequestError, match="no such model") as caught:
        await asyncio.to_thread(infer.run, parsed(url, "single", "--input", npz))
    assert (caught.value.code, caught.value.hint) == (ErrorCode.UNKNOWN_MODEL, "try double")
