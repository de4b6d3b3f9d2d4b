"""Processes that crash, hang, eat memory or talk nonsense: each is a reason, and none stays."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgeconsole.runtime.optimizer.children import Child, ChildError
from edgeconsole.runtime.optimizer.words import Answer, DataSet, Failed, Timed

REQUEST = Answer(DataSet.GOLDEN, 1, "out")
Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return what starts a child whose program a test gives."""
    monkeypatch.setenv(
        "PYTHONPATH",
        os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
    )

    def made(program: str, *, memory_bytes: int | None = None) -> Child:
        (tmp_path / "program.py").write_text(textwrap.dedent(program))
        return Child("program", Timed | Failed, memory_bytes=memory_bytes, threads=1)

    return made


ECHO = """
    import sys
    for line in sys.stdin:
        print('{"type":"Timed","ms":[1.0],"cpu_ms":1.0,"peak_rss_bytes":1}', flush=True)
"""


def test_each_request_is_answered(start: Start) -> None:
    """Replies come in order; the process goes with the block."""
    with start(ECHO) as child:
        for _ in range(3):
            assert child.ask(REQUEST, timeout_s=20) == Timed([1.0], 1.0, 1)
        pid = child.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("raise SystemExit(3)", "status 3"),
        ("raise ValueError('no such operator')", "no such operator"),
        (
            'import sys; sys.stdin.readline(); print(\'{"type":"Failed","reason":"too wide"}\')',
            "too wide",
        ),
    ],
)
def test_the_reason_says_how_it_ended(start: Start, program: str, reason: str) -> None:
    """A signal, a status, the last words, or what the process itself gives as reason."""
    with start(program) as child, pytest.raises(ChildError, match=reason):
        child.ask(REQUEST, timeout_s=20)


def test_one_that_hangs_is_ended(start: Start) -> None:
    """A reply that does not come in time is a reason; the process is gone."""
    with start("import time\nwhile True: time.sleep(1)") as child:
        with pytest.raises(ChildError, match="did not answer within 0 s"):
            child.ask(REQUEST, timeout_s=0.2)
        with pytest.raises(ChildError):
            child.ask(REQUEST, timeout_s=5)


def test_one_that_eats_memory_is_ended(start: Start) -> None:
    """Serving needs the memory more."""
    program = """
        import sys, time
        held = []
        while True:
            held.append(bytearray(b'x' * (8 << 20)))
            time.sleep(0.01)
    """
    with (
        start(program, memory_bytes=128 << 20) as child,
        pytest.raises(ChildError, match="MiB of memory, 128 MiB are allowed"),
    ):
        child.ask(REQUEST, timeout_s=30)


def test_nonsense_is_a_reason(start: Start) -> None:
    """What is no reply is not taken for one."""
    program = "import sys\nfor line in sys.stdin: print('hello', flush=True)"
    with start(program) as child, pytest.raises(ChildError, match="no reply"):
        child.ask(REQUEST, timeout_s=20)
