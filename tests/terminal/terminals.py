"""Two real terminals with one face: a pty that pyte draws, and tmux."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pexpect
import pyte

PATIENCE_S = 15.0
_LEAVE_ALTERNATE = "\x1b[?1049l"
_UNKNOWN_TO_PYTE = re.compile(
    r"\x1b\[(?:[<>=][0-9;]*[a-zA-Z]|\?[0-9;]*\$p)|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
)


class Terminal(Protocol):
    """A terminal somebody sits at."""

    def start(self, command: Sequence[str], columns: int, rows: int) -> None:
        """Run a command; its exit code is printed when it ends."""

    def send(self, text: str) -> None:
        """Write all of it at once."""

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""

    def screen(self) -> str:
        """Return what can be read on it now."""

    def close(self) -> None:
        """End everything."""


def wait_for(terminal: Terminal, seen: Callable[[str], bool], what: str) -> str:
    """Look at the terminal until something can be seen; fail with the last picture."""
    end = time.monotonic() + PATIENCE_S
    while True:
        picture = terminal.screen()
        if seen(picture):
            return picture
        if time.monotonic() > end:
            raise AssertionError(f"never saw {what}; the screen shows\n{picture}")
        time.sleep(0.02)


def _shell(command: Sequence[str]) -> str:
    """Return a shell line that prints the exit code and stays until it is killed."""
    return f"{shlex.join(command)}; echo exit code $?; stty -a | tr ' ' '\\n' | grep -x icanon; cat"


def _environment() -> dict[str, str]:
    """Return the environment without a size: readline puts one there behind Python's back."""
    return {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES")}


class PtyTerminal:
    """A pty of our own, drawn by pyte."""

    def start(self, command: Sequence[str], columns: int, rows: int) -> None:
        """Run a command."""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._rest = ""
        self._child = pexpect.spawn(
            "/bin/sh",
            ["-c", _shell(command)],
            dimensions=(rows, columns),
            env={**_environment(), "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            encoding="utf-8",
            codec_errors="replace",
        )
        self._child.delaybeforesend = None

    def send(self, text: str) -> None:
        """Write all of it at once."""
        self._child.send(text)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        self.screen()
        self._screen.resize(rows, columns)
        self._child.setwinsize(rows, columns)

    def screen(self) -> str:
        """Draw what has come in."""
        try:
            while text := self._child.read_nonblocking(65536, timeout=0.02):
                self._feed(text)
        except (pexpect.TIMEOUT, pexpect.EOF):
            pass
        return "\n".join(self._screen.display)

    def _feed(self, text: str) -> None:
        # A sequence may be cut by the end of a read; keep its start for the next one.
        text = self._rest + text
        cut = text.rfind("\x1b")
        tail = text[cut:] if cut >= 0 and len(text) - cut < 24 else ""
        whole = re.match(r"\x1b(?:\[[0-9;?<>=$ ]*[@-~]|\][^\x07]*\x07|[@-Z\\-_=>78])", tail)
        self._rest = "" if not tail or whole else tail
        text = text[: len(text) - len(self._rest)]
        before, left, after = _UNKNOWN_TO_PYTE.sub("", text).partition(_LEAVE_ALTERNATE)
        self._stream.feed(before)
        if left:
            # pyte has one screen only; what was on the alternate one goes.
            self._screen.reset()
            self._stream.feed(after)

    def hang_up(self) -> None:
        """Close the window, and kill nothing."""
        # Closed where it is kept: the number will be another file's.
        self._child.ptyproc.fileobj.close()
        self._child.ptyproc.closed = self._child.closed = True
        self._child.ptyproc.fd = self._child.child_fd = -1

    def close(self) -> None:
        """End the shell and what runs in it."""
        self._child.close(force=True)


class TmuxTerminal:
    """A tmux server of its own."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / f"tmux-{uuid4().hex[:8]}"), "-f", "/dev/null"]

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
            env=_environment(),
        )
        return done.stdout

    def start(self, command: Sequence[str], columns: int, rows: int) -> None:
        """Run a command in a session that is not attached."""
        size = ("-x", str(columns), "-y", str(rows))
        self._run(
            "new-session",
            "-d",
            "-s",
            "console",
            *size,
            f"/bin/sh -c {shlex.quote(_shell(command))}",
        )

    def send(self, text: str) -> None:
        """Write all of it at once."""
        self._run("send-keys", "-t", "console", "-H", *(f"{byte:02x}" for byte in text.encode()))

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        self._run("resize-window", "-t", "console", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """Read the pane."""
        return self._run("capture-pane", "-p", "-t", "console")

    def close(self) -> None:
        """End the server."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True, timeout=20)


def tmux_installed() -> bool:
    """Say whether tmux can be used."""
    return shutil.which("tmux") is not None
