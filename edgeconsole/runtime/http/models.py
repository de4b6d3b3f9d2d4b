"""What V2 says of the server and its models: metadata, readiness, the repository's index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from edgeconsole import __version__
from edgeconsole.engines import Engine
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.telemetry import ModelState
from edgeconsole.protocol.tensors import TensorSpec
from edgeconsole.runtime.serving.engine import InferenceEngine
from edgeconsole.specs import AgentState

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

EXTENSIONS: Final = ("binary_tensor_data", "parameters", "model_repository(index)")
_PLATFORMS: Final = {
    Engine.ONNXRUNTIME: "onnxruntime_onnx",
    Engine.OPENVINO: "openvino_onnx",
    Engine.LITERT: "litert_tflite",
}
"""V2's form: engine and format."""
MAX_INDEX_BODY_BYTES: Final = 4096


class ServerMetadata(msgspec.Struct):
    """`GET /v2`."""

    name: str
    version: str
    extensions: tuple[str, ...]


class ModelMetadata(msgspec.Struct):
    """`GET /v2/models/{name}[/versions/{version}]`."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Readiness(msgspec.Struct, omit_defaults=True):
    """The answer of whatever is ready; what is not gets an error with the reason."""

    name: str = ""
    version: str = ""
    ready: bool | None = None
    live: bool | None = None


class IndexRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What may be asked of the index."""

    ready: bool = False


class IndexEntry(msgspec.Struct):
    """One version of one model in the store."""

    name: str
    version: str
    state: str
    reason: str


def server_metadata() -> ServerMetadata:
    """Return who answers."""
    return ServerMetadata("edgeconsole", __version__, EXTENSIONS)


def server_ready(agent: EdgeIntelligentAgent) -> Readiness:
    """Return that every configured model can answer; raises `RequestError` otherwise."""
    state, reason = agent.state()
    if state not in (AgentState.READY, AgentState.PROCESSING):
        raise RequestError(
            ErrorCode.NOT_READY, f"the agent is {state.value}: {reason}", hint="try again later"
        )
    return Readiness(ready=True)


def model_metadata(engine: InferenceEngine, name: str, version: str) -> ModelMetadata:
    """Return a loaded model's inputs and outputs; raises `RequestError`."""
    manifest = engine.route(name, version).manifest
    versions = {
        runner.manifest.version
        for runner in engine.loaded().values()
        if runner.manifest.model == name
    }
    platform = _PLATFORMS[manifest.execution.engine]
    return ModelMetadata(name, tuple(sorted(versions)), platform, manifest.inputs, manifest.outputs)


def model_ready(engine: InferenceEngine, name: str, version: str) -> Readiness:
    """Return that a model can answer; raises `RequestError` otherwise."""
    runner = engine.route(name, version)
    if runner.state is not ModelState.READY:
        raise RequestError(
            ErrorCode.NOT_READY,
            f"{runner.manifest.key} is {runner.state.value}: {runner.reason}",
            hint="try again later",
        )
    return Readiness(name=name, version=runner.manifest.version, ready=True)


async def repository_index(agent: EdgeIntelligentAgent, body: bytes) -> list[IndexEntry]:
    """Return the store's models and versions, `READY` or `UNAVAILABLE`; raises `RequestError`."""
    try:
        asked = msgspec.json.decode(body, type=IndexRequest) if body.strip() else IndexRequest()
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise RequestError(
            ErrorCode.MALFORMED, f"the request is not a valid index request: {error}"
        ) from error
    stored = await agent.models.listed()
    loaded = agent.engine.loaded()
    entries: dict[tuple[str, str], IndexEntry] = {}
    for model in stored:
        runner = loaded.get(model.digest)
        ready = runner is not None and runner.state is ModelState.READY
        reason = "" if ready else runner.reason if runner is not None else "it is not loaded"
        known = entries.get((model.model, model.version))
        # V2 knows no variants: a version is ready if one of its variants is.
        if known is None or (ready and known.state != "READY"):
            state = "READY" if ready else "UNAVAILABLE"
            entries[model.model, model.version] = IndexEntry(
                model.model, model.version, state, reason
            )
    return [entry for entry in entries.values() if not asked.ready or entry.state == "READY"]
