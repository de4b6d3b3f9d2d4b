"""Who may speak HTTP to an agent, what else it says of itself, and what happens without the extra."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import msgspec
import pytest

from edgeconsole.errors import ConfigError
from edgeconsole.runtime import http
from edgeconsole.runtime.http.connection import MAX_CONNECTIONS, MAX_INFER_CONNECTIONS
from edgeconsole.specs import EdgeAgentConfig, HttpConfig

README = (Path(__file__).parents[2] / "README.md").read_text()
GUARDED = [
    ("GET", "/metrics"),
    ("GET", "/v2"),
    ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/digits"),
    ("GET", "/v2/models/digits/ready"),
    ("POST", "/v2/models/digits/infer"),
    ("POST", "/v2/repository/index"),
    ("GET", "/nothing"),
]


@pytest.mark.parametrize("where", GUARDED)
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": "Bearer wrong"}, 401, "UNAUTHENTICATED"),
        ({"Authorization": ""}, 401, "UNAUTHENTICATED"),
        ({"Origin": "http://evil.example"}, 403, "FORBIDDEN"),
        ({"Origin": "null"}, 403, "FORBIDDEN"),
        ({"Host": "evil.example"}, 403, "FORBIDDEN"),
    ],
)
async def test_strangers_and_web_pages_are_refused_everywhere(door, where, headers, status, code):
    """The refusal is typed; the right token is no pass for a page or a rebound name."""
    method, path = where
    answer = await door.ask(path, method=method, headers=headers)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert len(answer.json["error"]) > 10
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_only_liveness_is_open(door):
    """A supervisor may ask without a token whether the agent lives; a web page may not."""
    bare = {"Authorization": "Basic x"}
    assert (await door.ask("/v2/health/live", headers=bare)).json == {"live": True}
    page = await door.ask("/v2/health/live", headers={"Origin": "http://evil.example"})
    assert page.status == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/infer", 404),
        ("GET", "/v2/models", 404),
        ("POST", "/v2/repository/models/digits/load", 404),
        ("GET", "/v2/models/cats", 404),
        ("GET", "/v2/models/cats/ready", 404),
        ("POST", "/v2", 405),
        ("DELETE", "/v2/models/digits", 405),
        ("GET", "/v2/models/digits/infer", 405),
        ("POST", "/metrics", 405),
    ],
)
async def test_what_is_not_there_is_said(door, method, path, status):
    """Other paths and methods get a typed error."""
    answer = await door.ask(path, method=method)
    assert answer.status == status
    assert set(answer.json) <= {"error", "code", "hint"}


async def test_the_agent_and_its_models_describe_themselves(door):
    """Metadata, readiness and the index are as V2 has them."""
    assert (await door.ask("/v2")).json["name"] == "edgeconsole"
    for path in ("/v2/models/digits", "/v2/models/digits/versions/1"):
        assert (await door.ask(path)).json == {
            "name": "digits",
            "versions": ["1"],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
        }
        assert (await door.ask(f"{path}/ready")).json["ready"] is True
    index = (await door.ask("/v2/repository/index", {})).json
    assert {(entry["name"], entry["state"]) for entry in index} == {
        ("digits", "READY"),
        ("digits-tiny", "READY"),
    }
    wrong = await door.ask("/v2/repository/index", {"redy": True})
    assert (wrong.status, wrong.json["code"]) == (400, "MALFORMED")


async def test_an_agent_that_cannot_serve_all_is_live_but_not_ready(new_door):
    """Readiness names the model that is missing; the models that are there stay ready."""
    door = new_door(
        change=lambda text: text + '\n[[models]]\nmodel_id = "gone"\nbundle = "nowhere"\n'
    )
    assert (await door.ask("/v2/health/live")).status == 200
    answer = await door.ask("/v2/health/ready")
    assert (answer.status, answer.json["code"]) == (503, "NOT_READY")
    assert "gone" in answer.json["error"]
    assert (await door.ask("/v2/models/digits/ready")).status == 200
    assert (await door.ask("/v2/models/gone/ready")).status == 503


async def test_what_is_not_http_gets_a_typed_answer(door):
    """Garbage is refused with a 400 that does not repeat it, and says nothing of the software."""
    host, port = door.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    reply = await reader.read()
    writer.close()
    assert b" 400 " in reply.splitlines()[0]
    assert b'"code":"MALFORMED"' in reply
    assert b"hello" not in reply
    assert b"aiohttp" not in reply


async def test_connections_are_bounded_and_scrapers_find_a_place(door):
    """Idle connections fill the clients' places, not the operators'; beyond all is a typed 503."""
    host, port = door.address.split(":")
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(MAX_INFER_CONNECTIONS)]
    try:
        full = await door.ask("/v2/models/digits/infer", {})
        assert (full.status, full.json["code"]) == (503, "QUEUE_FULL")
        assert (await door.ask("/metrics")).status == 200
        spare = MAX_CONNECTIONS - MAX_INFER_CONNECTIONS
        idle += [await asyncio.open_connection(host, int(port)) for _ in range(spare)]
        reader, writer = await asyncio.open_connection(host, int(port))
        reply = await reader.read()
        writer.close()
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"QUEUE_FULL"' in reply
    finally:
        for _, writer in idle:
            writer.close()


def test_without_the_extra_the_remedy_is_said(monkeypatch):
    """A configured face that cannot be shown is a configuration error with the pip command."""
    for name in [each for each in sys.modules if each.startswith("edgeconsole.runtime.http.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match="aiohttp") as caught:
        http.make_http_server(None, HttpConfig(port=0), "token")
    assert "pip install 'edgeconsole[http]'" in caught.value.hint


def test_an_agent_without_http_does_not_import_it(agents):
    """The face costs nothing where it is not configured: neither a port nor its libraries."""
    agent = agents.start(agents.write())
    maps = Path(f"/proc/{agent.process.pid}/maps").read_text()
    assert "aiohttp" not in maps
    assert "HTTP" not in agent.log


def test_a_taken_port_is_said(agents, free_port):
    """An agent whose HTTP port is taken does not start half."""
    serving = f"max_queue = 256\n\n[http]\nport = {free_port}\n"
    agents.start(agents.write("first", serving=serving))
    second = agents.start(agents.write("second", serving=serving), wait=False)
    assert second.process.wait(20) == 2
    assert f"cannot listen on 127.0.0.1:{free_port}" in second.log
    assert "[http] port" in second.log


@pytest.mark.parametrize("settings", [{"port": 70_000}, {"port": 1, "host": "0.0.0.0"}])
def test_impossible_addresses_are_refused(settings):
    """The rules of `[server]` hold."""
    with pytest.raises(ValueError, match=r"port must be|not a loopback"):
        HttpConfig(**settings)


def test_the_face_is_off_by_default_and_documented():
    """No agent speaks HTTP unasked; the README has the table and its keys."""
    assert EdgeAgentConfig(agent_id="a").http is None
    for field in msgspec.structs.fields(HttpConfig):
        assert re.search(rf"\b{field.encode_name}\b", README)
    assert "[http]" in README
