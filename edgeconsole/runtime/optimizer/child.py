"""The child process's side of the optimiser's pipes: read a request, reply, until the end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from edgeconsole.errors import EdgeConsoleError
from edgeconsole.runtime.linux import confine
from edgeconsole.runtime.optimizer.words import Failed

NICE: Final = 10
"""Serving goes first."""
_MAX_REASON: Final = 400

_Request = TypeVar("_Request")


def serve(kind: Any, handle: Callable[[_Request], msgspec.Struct]) -> int:
    """Answer requests of `kind` from standard input with what `handle` returns; until it is closed.

    The program's argument is the parent's process id.
    Expected errors and what libraries raise become `Failed`; standard output is the pipe, so that
    whatever prints does so to standard error.
    """
    confine(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    decode = msgspec.json.Decoder(kind).decode
    encode = msgspec.json.Encoder().encode
    for line in sys.stdin.buffer:
        replies.write(encode(_answered(decode(line), handle)) + b"\n")
        replies.flush()
    return 0


def _answered(request: _Request, handle: Callable[[_Request], msgspec.Struct]) -> msgspec.Struct:
    try:
        return handle(request)
    except EdgeConsoleError as error:
        return Failed(str(error)[:_MAX_REASON])
    except MemoryError:
        return Failed("it needs more memory than there is")
    except OSError as error:
        return Failed(f"{error.filename or 'a file'}: {error.strerror or error}"[:_MAX_REASON])
    # Engines and converters raise types without a common base.
    except Exception as error:  # noqa: BLE001
        return Failed(_one_line(error))


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_MAX_REASON]
