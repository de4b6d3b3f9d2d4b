"""LitServe: FastAPI in front of worker processes. JSON with base64 in, JSON out, as it documents.

No GPU, `fast_queue`, workers by `workers_per_device`. Batched: up to 32, and a wait of 1 ms. The
system's own deadline is `timeout`.
"""

from __future__ import annotations

import base64
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import BATCHED, MAX_BATCH, READY, Peer
from edgeconsole.protocol.tensors import Array

_IS_SERVER = __name__ in ("__main__", "__mp_main__")
_LitAPI: Any = importlib.import_module("litserve").LitAPI if _IS_SERVER else object


class LitServe(Peer):
    """The client's side of LitServe."""

    name = "litserve"
    package = "litserve"
    path = "/predict"
    content_type = "application/json"

    def encode(self, array: Array) -> bytes:
        """Return the array's bytes as base64 in JSON."""
        return json.dumps({"input": base64.b64encode(array.tobytes()).decode()}).encode()

    def decode(self, body: bytes, shape: tuple[int, ...]) -> Array:
        """Read a list of numbers."""
        return np.asarray(json.loads(body)["output"], np.float32).reshape(shape)


class ModelApi(_LitAPI):  # type: ignore[misc]
    """The server's side: one ONNX session."""

    def __init__(self, onnx: str, **options: Any) -> None:
        super().__init__(**options)
        self._onnx = onnx

    def setup(self, device: str) -> None:
        """Load the model; called in the worker."""
        from benchmarks.bare import onnx_session

        self._device = device
        self._session = onnx_session(Path(self._onnx))
        first = self._session.get_inputs()[0]
        self._input = first.name
        self._shape = (-1, *first.shape[1:])
        print(READY, flush=True)

    def decode_request(self, request):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        """Read a request; annotations here would make the framework parse it otherwise."""
        raw = base64.b64decode(request["input"])
        return np.frombuffer(raw, np.float32).reshape(self._shape)

    def batch(self, inputs: list[Array]) -> Array:
        """Join requests."""
        return np.concatenate(inputs)

    def predict(self, inputs: Array) -> Any:
        """Run the model."""
        return self._session.run(None, {self._input: inputs})[0]

    def unbatch(self, output: Array) -> list[Array]:
        """Part answers."""
        return np.split(output, len(output))

    def encode_response(self, output):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        """Write an answer; annotations here would make the framework validate it."""
        return {"output": output.ravel().tolist()}


def _serve() -> None:
    onnx, port, batching, workers, timeout_ms = sys.argv[1:]
    options = {"max_batch_size": MAX_BATCH, "batch_timeout": 0.001} if batching == BATCHED else {}
    server = importlib.import_module("litserve").LitServer(
        ModelApi(onnx, **options),
        accelerator="cpu",
        devices=1,
        workers_per_device=int(workers),
        timeout=int(timeout_ms) / 1e3,
        fast_queue=True,
    )
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="error")


PEER = LitServe()

if __name__ == "__main__":
    _serve()
