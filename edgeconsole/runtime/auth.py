"""Who may connect: the token file, and the checks every handshake passes."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edgeconsole.errors import ConfigError

TOKEN_BYTES: Final = 32
_MIN_TOKEN_CHARS: Final = 32
_MAX_TOKEN_BYTES: Final = 4096
_FAILURE_WINDOW_S: Final = 60.0
_FREE_FAILURES: Final = 5
_MAX_DELAY_S: Final = 4.0
"""Below the 5 s a handshake may take."""


def load_or_create_token(path: Path) -> str:
    """Return the token in a file only its owner can read; makes a 256-bit one if there is none.

    Raises:
        ConfigError: the file is open to others, too short, or cannot be read or made.
    """
    try:
        return _read_token(path)
    except FileNotFoundError:
        return _create_token(path)
    except OSError as error:
        raise ConfigError(f"{path}: the token cannot be read: {error.strerror}") from error


def _read_token(path: Path) -> str:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise ConfigError(
                f"{path}: the token can be read by others (mode {mode:04o})",
                hint=f"chmod 600 {path}; if others use this machine, also remove it to get a new one",
            )
        token = file.read(_MAX_TOKEN_BYTES).decode("ascii", errors="replace").strip()
    if (
        len(token) < _MIN_TOKEN_CHARS
        or not token.isascii()
        or not token.isprintable()
        or " " in token
    ):
        raise ConfigError(
            f"{path}: a token has at least {_MIN_TOKEN_CHARS} printable characters",
            hint="remove the file; the next start makes a new token",
        )
    return token


def _create_token(path: Path) -> str:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path}: the token cannot be made: {error.strerror}") from error
    return token


class Authenticator:
    """Compares tokens in constant time and slows down addresses that guess."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._failures: deque[tuple[float, str]] = deque(maxlen=1024)

    def accepts(self, authorization: Sequence[str]) -> bool:
        """Say whether the one `Authorization` header of a handshake carries the token."""
        scheme, _, token = (authorization[0] if len(authorization) == 1 else "").partition(" ")
        digest = hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()
        return hmac.compare_digest(digest, self._digest) and scheme.lower() == "bearer"

    def failed(self, address: str) -> float:
        """Record a failure; returns for how many seconds to hold the refusal back."""
        now_s = time.monotonic()
        self._failures.append((now_s, address))
        recent = sum(
            1 for at_s, who in self._failures if who == address and now_s - at_s < _FAILURE_WINDOW_S
        )
        if recent <= _FREE_FAILURES:
            return 0.0
        return min(_MAX_DELAY_S, 0.25 * 2.0 ** (recent - _FREE_FAILURES - 1))
