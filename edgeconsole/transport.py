"""Opens an authenticated websocket to an agent; turns every way to fail into a typed error.

Used by `edgeconsole.client` (inference) and `edgeconsole.fleet` (control).
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from edgeconsole import __version__
from edgeconsole.errors import AuthError, ConfigError, LinkError
from edgeconsole.protocol.control import SUBPROTOCOL
from edgeconsole.protocol.inference import ServerFrame

OPEN_TIMEOUT_S: Final = 5.0
_FIRST_BACKOFF_S: Final = 0.25
_MAX_BACKOFF_S: Final = 10.0


class Backoff:
    """Jittered exponential delays between tries, so that a fleet does not return as one wave."""

    def __init__(self, first_s: float = _FIRST_BACKOFF_S, most_s: float = _MAX_BACKOFF_S) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._tries = 0

    def next_s(self) -> float:
        """Return how long to wait before the next try: half to all of a doubling delay."""
        delay_s = min(self._most_s, self._first_s * 2.0**self._tries)
        self._tries = min(self._tries + 1, 16)
        return delay_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start over after a success."""
        self._tries = 0


async def open_connection(url: str, path: str, token: str, *, max_bytes: int) -> ClientConnection:
    """Connect to one of an agent's paths.

    Raises:
        AuthError: the agent does not accept the token or the peer.
        LinkError: nobody answers, or not with this protocol.
        ConfigError: the address is not one.
    """
    address = url.rstrip("/")
    if not address.startswith(("ws://", "wss://")):
        raise ConfigError(f"{url!r} is not an agent's address", hint="like ws://127.0.0.1:7311")
    try:
        return await connect(
            address + path,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token}"},
            user_agent_header=f"edgeconsole/{__version__}",
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=10,
            ping_timeout=10,
            close_timeout=2,
            max_size=max_bytes,
            proxy=None,
        )
    except InvalidStatus as error:
        raise _refusal(address, error) from error
    except (InvalidURI, ValueError) as error:
        raise ConfigError(f"{url!r} is not an agent's address: {error}") from error
    except TimeoutError as error:
        raise LinkError(f"{address} did not answer in {OPEN_TIMEOUT_S:.0f} s") from error
    except OSError as error:
        # Name lookups fail with negative numbers that only their own text explains.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise LinkError(
            f"{address} cannot be reached: {reason}", hint="is the agent running there?"
        ) from error
    except (InvalidHandshake, EOFError) as error:
        raise LinkError(f"{address} does not speak {SUBPROTOCOL}: {error}") from error


def read_token(path: Path) -> str:
    """Return the token in a file; raises `AuthError` with what to do if it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise AuthError(
            f"{path}: there is no token file", hint="copy it from the device; its agent makes it"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AuthError(f"{path}: the token cannot be read: {error}") from error


def token_from_environment() -> str | None:
    """Return `EDGECONSOLE_TOKEN`, if it is set."""
    return os.environ.get("EDGECONSOLE_TOKEN") or None


def _refusal(address: str, error: InvalidStatus) -> Exception:
    """Turn the agent's HTTP refusal into an error that repeats its sentence."""
    status = error.response.status_code
    try:
        said = msgspec.json.decode(error.response.body or b"", type=ServerFrame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        said = ServerFrame()
    message = f"{address} refused the connection: {said.error or f'HTTP status {status}'}"
    if status in (401, 403):
        return AuthError(message, hint=said.hint)
    return LinkError(message, hint=said.hint)
