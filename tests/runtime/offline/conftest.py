"""Where a test's backlog is, and the devices that fill it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconsole.specs import TelemetryConfig
from tests.runtime.offline.device import START_UNIX_S, Device


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the backlog is to be."""
    return tmp_path / "state" / "outbox.db"


@pytest.fixture
def make_device(path: Path) -> Callable[..., Device]:
    """Return a function that makes a device; nobody's disk is ever too full by chance."""

    def make(*, boot_id: str = "boot-1", at: float = START_UNIX_S, **config: float) -> Device:
        return Device(path, TelemetryConfig(**{"min_free_mb": 0, **config}), boot_id, at)  # type: ignore[arg-type]

    return make
