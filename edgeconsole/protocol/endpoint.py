"""The file in an agent's state folder that says where it listens."""

from __future__ import annotations

from typing import Final

import msgspec

ENDPOINT_FILE: Final = "endpoint.json"


class Endpoint(msgspec.Struct, frozen=True):
    """Where an agent on this machine listens, and its process id."""

    url: str
    pid: int
