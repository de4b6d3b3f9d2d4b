"""Messages on `/v1/bundle`: a console brings a bundle to an agent, only the files it lacks.

    console  Offer(manifest)            agent  Wanted(files)
    console  FileBegin(path), binary chunks, FileEnd      agent  Received(path)     for each wanted file
    console  Commit                     agent  Stored(digest)

Any step may be answered with `Failed`, and then the connection ends; what has arrived whole is
kept, so that the next try sends less.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.control import Failed

BUNDLE_PATH: Final = "/v1/bundle"
CHUNK_BYTES: Final = 256 * 1024
MAX_TRANSFER_MESSAGE_BYTES: Final = 2 * 1024 * 1024
"""Room for the largest manifest in base64."""


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="offer"):
    """The bytes of `manifest.json`; their SHA-256 is the bundle's digest."""

    manifest: bytes


class FileBegin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="file"):
    """The next binary frames are this file's content."""

    path: str


class FileEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="end"):
    """The file is complete."""


class Commit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="commit"):
    """All wanted files are there: make the bundle part of the store."""


class Wanted(msgspec.Struct, frozen=True, tag="wanted"):
    """The files whose content the device lacks; none if it has the bundle."""

    digest: str
    files: tuple[str, ...]
    stored: bool


class Received(msgspec.Struct, frozen=True, tag="received"):
    """A file arrived whole and is what the manifest says."""

    path: str


class Stored(msgspec.Struct, frozen=True, tag="stored"):
    """The bundle is in the device's store."""

    digest: str


FromConsole = Offer | FileBegin | FileEnd | Commit
FromAgent = Wanted | Received | Stored | Failed

_encoder: Final = msgspec.json.Encoder()
_from_console: Final[msgspec.json.Decoder[FromConsole]] = msgspec.json.Decoder(FromConsole)
_from_agent: Final[msgspec.json.Decoder[FromAgent]] = msgspec.json.Decoder(FromAgent)


def encode_transfer(message: FromConsole | FromAgent) -> str:
    """Encode a message as a text frame."""
    return _encoder.encode(message).decode()


def decode_from_console(frame: str) -> FromConsole:
    """Decode a console's message; raises `RequestError` with code `MALFORMED`."""
    try:
        return _from_console.decode(frame)
    except (ValueError, RecursionError) as error:
        raise RequestError(ErrorCode.MALFORMED, f"not a valid message: {error}") from error


def decode_from_agent(frame: str | bytes) -> FromAgent:
    """Decode an agent's message; raises `RequestError` with code `MALFORMED`."""
    try:
        return _from_agent.decode(frame)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            ErrorCode.MALFORMED, f"the agent's message cannot be read: {error}"
        ) from error
