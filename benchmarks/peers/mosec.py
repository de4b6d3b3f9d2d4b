"""mosec: a Rust HTTP front with Python workers. Raw tensor bytes in and out, workers by `num`.

Batched: up to 32, and the shortest wait that it takes (1 ms; its default is 10 ms). The system's own
deadline is `--timeout`. It would also be the limit of one model call, after which a finished batch is
thrown away; that one is kept long.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import BATCHED, MAX_BATCH, READY, Peer
from edgeconsole.protocol.tensors import Array

_MODEL = "BENCH_ONNX"
_CALL_TIMEOUT_S = 30.0
_IS_SERVER = __name__ in ("__main__", "__mp_main__")
_Worker: Any = importlib.import_module("mosec").Worker if _IS_SERVER else object


class Mosec(Peer):
    """The client's side of mosec."""

    name = "mosec"
    package = "mosec"
    path = "/inference"

    def encode(self, array: Array) -> bytes:
        """Return the array's bytes."""
        return array.tobytes()

    def decode(self, body: bytes, shape: tuple[int, ...]) -> Array:
        """Read the array's bytes."""
        return np.frombuffer(body, np.float32).reshape(shape)


class ModelWorker(_Worker):  # type: ignore[misc]
    """The server's side: one ONNX session."""

    def __init__(self) -> None:
        super().__init__()
        from benchmarks.bare import onnx_session

        self._session = onnx_session(Path(os.environ[_MODEL]))
        first = self._session.get_inputs()[0]
        self._input = first.name
        self._shape = (-1, *first.shape[1:])
        print(READY, flush=True)

    def deserialize(self, data: bytes) -> Array:
        """Read a request."""
        return np.frombuffer(data, np.float32).reshape(self._shape)

    def forward(self, data: Any) -> Any:
        """Run the model on one array, or on a list of them."""
        if isinstance(data, list):
            outputs = self._session.run(None, {self._input: np.concatenate(data)})[0]
            return np.split(outputs, len(data))
        return self._session.run(None, {self._input: data})[0]

    def serialize(self, data: Array) -> bytes:
        """Write an answer."""
        return data.tobytes()


def _serve() -> None:
    onnx, port, batching, workers, timeout_ms = sys.argv[1:]
    os.environ[_MODEL] = onnx
    sys.argv[1:] = [
        *("--address", "127.0.0.1", "--port", port),
        *("--timeout", timeout_ms, "--log-level", "warning"),
    ]
    server = importlib.import_module("mosec").Server()
    options = {"max_batch_size": MAX_BATCH, "max_wait_time": 1} if batching == BATCHED else {}
    server.append_worker(ModelWorker, num=int(workers), timeout=_CALL_TIMEOUT_S, **options)
    server.run()


PEER = Mosec()

if __name__ == "__main__":
    _serve()
