"""One link per device: connect, subscribe, fill the store; and again, for as long as it takes.

A link never ends because of its device: what goes wrong is shown and tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from edgeconsole.errors import AuthError, ConfigError, EdgeConsoleError
from edgeconsole.fleet.control import ControlLink, Push
from edgeconsole.fleet.store import FleetStore, LinkState
from edgeconsole.protocol.control import SamplePush, Subscribe
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample
from edgeconsole.specs import FleetDevice
from edgeconsole.transport import Backoff

_log = logging.getLogger("edgeconsole.fleet")

INTERVAL_S: Final = 1.0
_REFUSED_RETRY_S: Final = 15.0


Through = Callable[[str, ControlLink], AbstractContextManager[None]]


class Recorder(Protocol):
    """Where a link leaves what it hears, beside the store."""

    def add_sample(self, device_id: str, sample: DeviceSample) -> None:
        """Keep a sample."""
        ...

    def add_event(self, device_id: str, event: DeviceEvent) -> None:
        """Keep an event."""
        ...


class DeviceLink:
    """Follows one device."""

    def __init__(
        self,
        device: FleetDevice,
        token: Callable[[], str],
        store: FleetStore,
        recorder: Recorder,
        through: Through,
    ) -> None:
        """Make it; `through` is entered with the link for as long as that is live."""
        self._device = device
        self._token = token
        self._store = store
        self._recorder = recorder
        self._through = through
        self._backoff = Backoff()

    async def run(self) -> None:
        """Follow the device for ever."""
        while True:
            try:
                await self._follow()
                reason = "the device closed the connection"
                await self._wait(LinkState.WAITING, reason, self._backoff.next_s())
            except (AuthError, ConfigError) as error:
                await self._wait(LinkState.REFUSED, str(error), _REFUSED_RETRY_S)
            except EdgeConsoleError as error:
                await self._wait(LinkState.WAITING, error.message, self._backoff.next_s())
            except Exception as error:  # noqa: BLE001
                # One device's oddity must not end the watch over it.
                _log.exception("the link to %s failed", self._device.id)
                reason = f"a defect of the console: {type(error).__name__}"
                await self._wait(LinkState.WAITING, reason, self._backoff.next_s())

    async def _wait(self, link: LinkState, reason: str, delay_s: float) -> None:
        self._store.set_link(self._device.id, link, reason, delay_s)
        await asyncio.sleep(delay_s)

    async def _follow(self) -> None:
        name = self._device.id
        self._store.set_link(name, LinkState.CONNECTING)
        async with ControlLink(self._device.url, self._token(), self._take) as link:
            hello = await link.hello()
            self._store.add_hello(name, hello)
            boot_id, after_seq = self._store.last_event(name)
            await link.ask(
                Subscribe(
                    id=link.next_id(), interval_s=INTERVAL_S, boot_id=boot_id, after_seq=after_seq
                )
            )
            self._store.set_link(name, LinkState.LIVE)
            self._backoff.reset()
            with self._through(name, link):
                await link.closed()

    def _take(self, push: Push) -> None:
        name = self._device.id
        if isinstance(push, SamplePush):
            self._store.add_sample(name, push.sample)
            self._recorder.add_sample(name, push.sample)
        else:
            self._store.add_event(name, push.event)
            self._recorder.add_event(name, push.event)
