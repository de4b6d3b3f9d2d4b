"""The client process: reads jobs from stdin, one JSON line each, and answers on stdout.

Started by the harness as `python -m benchmarks.driver`, apart from every server that it measures.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Coroutine
from typing import Any

from benchmarks.bare import BareModels
from benchmarks.clients import run_closed, run_edge_clients, run_open
from benchmarks.jobs import (
    Bare,
    ClosedLoop,
    Done,
    EdgeClients,
    Job,
    OpenLoop,
    Outcome,
    Problem,
    decode_job,
    encode,
)
from benchmarks.pipes import write_whole


def main() -> int:
    """Do jobs until stdin ends."""
    bare = BareModels()
    gc.freeze()
    for line in sys.stdin.buffer:
        try:
            report: Done | Problem = Done(_do(decode_job(line), bare))
        except Exception as error:  # noqa: BLE001 - the harness decides what a failed job means
            report = Problem(f"{type(error).__name__}: {error}")
        write_whole(sys.stdout.fileno(), encode(report) + b"\n")
    return 0


def _do(job: Job, bare: BareModels) -> list[Outcome]:
    match job:
        case Bare():
            return bare.run(job)
        case ClosedLoop():
            return _run(run_closed(job))
        case OpenLoop():
            return _run(run_open(job))
        case EdgeClients():
            return _run(run_edge_clients(job))


def _run(load: Coroutine[Any, Any, list[Outcome]]) -> list[Outcome]:
    # A collection in the middle would be the client's latency, not the server's.
    gc.collect()
    gc.disable()
    try:
        try:
            import uvloop
        except ImportError:
            return asyncio.run(load)
        return uvloop.run(load)
    finally:
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
