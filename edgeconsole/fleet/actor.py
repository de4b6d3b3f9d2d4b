"""Who gives an order, as the audit and the devices record it."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Final

_MOST: Final = 200


def actor() -> str:
    """Return `user@host` of this program."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:_MOST]
