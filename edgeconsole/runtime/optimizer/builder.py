"""The builder process: makes one smaller bundle from another. Started as `python -m`.

Loading `model.pt2` can run code, so it happens here and nowhere else. One `BuildRequest` comes on
standard input; `BuildProgress` lines and, last, one `BuildResult` go to standard output. Whatever
libraries print goes to standard error. The process exits with 0, also when it refuses.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from edgeconsole.errors import EdgeConsoleError
from edgeconsole.runtime.linux import confine
from edgeconsole.runtime.optimizer.build_words import (
    BuildProgress,
    BuildRequest,
    BuildResult,
)

_MAX_REQUEST: Final = 1 << 16
_MAX_REASON: Final = 400


def main(arguments: list[str]) -> int:
    """Build what standard input asks for; the argument is the parent's process id."""
    _confine(int(arguments[0]))
    reply = _Reply(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    try:
        request = msgspec.json.decode(sys.stdin.buffer.readline(_MAX_REQUEST), type=BuildRequest)
    except (msgspec.MsgspecError, ValueError) as error:
        reply.end(BuildResult(ok=False, reason=f"the request cannot be read: {error}"))
        return 0
    watch = threading.Timer(request.time_limit_s, _give_up, (reply, request.time_limit_s))
    watch.daemon = True
    watch.start()
    reply.end(_build(request, reply))
    return 0


class _Reply:
    """The pipe to the parent: any number of progress lines, then exactly one result."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._ended = False

    def progress(self, progress: BuildProgress) -> None:
        """Write a progress line."""
        self._write(progress)

    def end(self, result: BuildResult) -> None:
        """Write the result, if there is none yet."""
        self._write(result, is_last=True)

    def _write(self, message: msgspec.Struct, *, is_last: bool = False) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = is_last
            self._pipe.write(msgspec.json.encode(message) + b"\n")
            self._pipe.flush()


def _build(request: BuildRequest, reply: _Reply) -> BuildResult:
    started_s = time.monotonic()
    reply.progress(BuildProgress(stage="load", done=0, of=1))
    try:
        from edgeconsole.runtime.optimizer.building import build

        note = build(request, started_s, reply.progress)
    except EdgeConsoleError as error:
        return BuildResult(ok=False, reason=str(error)[:_MAX_REASON])
    except ImportError as error:
        return BuildResult(ok=False, reason=f"torch is not installed here: {error}"[:_MAX_REASON])
    except MemoryError:
        return BuildResult(ok=False, reason="there is not enough memory to build it")
    except Exception as error:  # noqa: BLE001 - what libraries raise is this variant's reason
        traceback.print_exc()
        reason = f"the build failed: {type(error).__name__}: {error}"
        return BuildResult(ok=False, reason=reason[:_MAX_REASON])
    return BuildResult(ok=True, bundle=str(Path(request.out).resolve()), note=note)


def _give_up(reply: _Reply, limit_s: float) -> None:
    """End the process at the time limit, whatever it is doing."""
    reply.end(BuildResult(ok=False, reason=f"not done within {limit_s:g} s"))
    os._exit(0)


def _confine(parent_pid: int) -> None:
    confine(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
