"""Other serving systems, measured by the same clients. To add one, drop a file in this folder.

The file defines `PEER`, a `Peer`; run as `python -m benchmarks.peers.NAME` it is the server itself.
It may import its system only there: a peer that is not installed is a row that says so. Each of its
workers prints `READY`.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.jobs import HTTP, Endpoint
from edgeconsole.protocol.tensors import Array

PLAIN: Final = "plain"
BATCHED: Final = "batched"
MAX_BATCH: Final = 32
READY: Final = "bench: a worker is ready"
"""What each worker of a peer prints as a line of its own once it can serve."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How a peer runs."""

    batching: str = PLAIN
    """`PLAIN` or `BATCHED`."""
    workers: int = 1

    @property
    def label(self) -> str:
        """The name in tables; one worker is what all peers have and goes without saying."""
        return self.batching if self.workers == 1 else f"{self.batching}, {self.workers} workers"


@dataclass(frozen=True, slots=True)
class Launch:
    """What a peer's server is started with."""

    python: str
    """The interpreter that has the peer installed."""
    onnx: Path
    port: int
    mode: Mode
    timeout_ms: int
    """After so long a request need not be answered any more."""


class Peer(ABC):
    """Another system; the client's side of it."""

    name: str
    package: str
    """What is installed; also the name it is imported by."""
    batchings: tuple[str, ...] = (PLAIN, BATCHED)
    scales: bool = True
    """Whether it can run several workers for one model."""
    transport: str = HTTP
    """The client connection, a `benchmarks.wire.Connection`, as `module:class`."""
    path: str = "/"
    content_type: str = "application/octet-stream"

    def command(self, launch: Launch) -> list[str]:
        """Return the command that starts the server, by default this peer's own file."""
        return [
            launch.python,
            "-m",
            type(self).__module__,
            str(launch.onnx),
            str(launch.port),
            launch.mode.batching,
            str(launch.mode.workers),
            str(launch.timeout_ms),
        ]

    def modes(self, workers: Sequence[int]) -> list[Mode]:
        """Return all modes with so many workers, those with fewer first."""
        possible = [count for count in sorted(set(workers)) if count == 1 or self.scales]
        return [Mode(batching, count) for count in possible for batching in self.batchings]

    def endpoint(self, port: int) -> Endpoint:
        """Return where and how the server is asked."""
        return Endpoint(port, self.transport, self.path, content_type=self.content_type)

    @abstractmethod
    def encode(self, array: Array) -> bytes:
        """Return a request's body."""

    @abstractmethod
    def decode(self, body: bytes, shape: tuple[int, ...]) -> Array:
        """Return the first output from an answer's body."""

    def installed_version(self, python: str) -> str:
        """Return the version that an interpreter has of it; empty if it has none."""
        code = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        done = subprocess.run(  # noqa: S603 - an interpreter the caller chose
            [python, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""


def all_peers() -> list[Peer]:
    """Return the peer of every file in this folder, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}").PEER for name in names]
