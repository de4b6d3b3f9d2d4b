"""What an application imports: `EdgeClient` asks an agent for answers; `SyncEdgeClient` is its twin.

async with EdgeClient("ws://127.0.0.1:7311", token=token) as client:
    result = await client.infer("digits", {"image": image}, deadline_ms=50)
    print(result.outputs["logits"].argmax(), result.rung, result.timing.total_ms)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from edgeconsole.errors import AuthError, EdgeConsoleError, ErrorCode, LinkError, RequestError
from edgeconsole.protocol.control import INFER_PATH, MAX_MESSAGE_HEADER
from edgeconsole.protocol.inference import (
    DEFAULT_PRIORITY,
    AnswerParameters,
    ClientFrame,
    OutputRequest,
    RequestParameters,
    Rung,
    ServerFrame,
    decode_server_frame,
    encode_cancel,
    encode_request,
)
from edgeconsole.protocol.tensors import Array
from edgeconsole.transport import Backoff, open_connection, read_token, token_from_environment

MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
_GRACE_S: Final = 1.0
"""How long after its deadline the agent's word is still waited for."""

_SMALL_BYTES: Final = 32 * 1024
"""What a socket takes at once."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a request's time went, in ms: on the device, and as the client saw it."""

    queue_ms: float
    infer_ms: float
    total_ms: float
    """On the device, from reading the request to its answer."""
    round_trip_ms: float
    """On the client, from sending the request to having the answer."""


@dataclass(frozen=True, slots=True)
class InferResult:
    """An answer, and where it comes from."""

    outputs: dict[str, Array]
    """Arrays by output name; read-only views into the received message."""
    model: str
    model_version: str
    variant: str
    device: str
    rung: Rung
    degraded: bool
    cached: bool
    """Computed for an earlier or simultaneous request with the same inputs."""
    timing: Timing
    failsafe: bool = False
    """A declared constant: no model looked at the inputs."""
    shed: int = 0
    """While the device sheds load: the least priority it still takes."""
    age_ms: float | None = None
    """How old an answer of the rung `last_good` is."""


@dataclass(slots=True)
class _Waiting:
    frame: str | bytes
    sent_s: float
    answer: asyncio.Future[tuple[ServerFrame, dict[str, Array]]] = field(repr=False)


class EdgeClient:
    """Sends inference requests over one connection, many at once.

    A connection that breaks is opened again with jittered back-off; requests in flight are sent again
    (inference has no side effects), as long as their time is not over.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Prepare a client; `timeout_s` bounds requests that carry no deadline of their own.

        The token is `token`, else the content of `token_file`, else `EDGECONSOLE_TOKEN`.
        """
        self._url = url
        self._token = token
        self._token_file = token_file
        self._timeout_s = timeout_s
        self._ids = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._connection: ClientConnection | None = None
        self._max_message_bytes = MAX_ANSWER_BYTES
        self._keeper: asyncio.Task[None] | None = None
        self._broken: EdgeConsoleError | None = None

    async def __aenter__(self) -> Self:
        """Connect; raises `AuthError` or `LinkError` if that fails at once."""
        self._token = self._find_token()
        connection = await self._connect()
        self._keeper = asyncio.create_task(self._keep(connection))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection; what is in flight fails with `LinkError`."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
        self._fail_all(LinkError("the client was closed"))

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        deadline_ms: float | None = None,
        priority: int = DEFAULT_PRIORITY,
        cache: bool = True,
        version: str = "",
        outputs: Sequence[str] = (),
        binary: bool = True,
        allow: Rung | None = None,
    ) -> InferResult:
        """Ask a model for an answer.

        Args:
            model: the model's name.
            inputs: arrays by input name, batch first, in the model's datatypes.
            deadline_ms: how long the agent may take; without one, the model's own deadline counts.
            priority: 0 (first to wait) to 10 (first to go).
            cache: whether the answer may come from the cache, where the model has one.
            version: a loaded version; the active one if empty.
            outputs: the names of the outputs that are wanted; all if empty.
            binary: send tensors as bytes; `False` sends them as JSON.
            allow: the lowest rung of the failsafe ladder that may answer: `Rung.SHED` refuses
                degraded answers. By default whatever the device has may answer.

        Raises:
            RequestError: the agent refused; `code` says why.
            LinkError: the connection broke and did not come back in time.
            AuthError: the agent no longer accepts the token.
        """
        request_id = str(next(self._ids))
        frame = ClientFrame(
            model_name=model,
            model_version=version,
            id=request_id,
            parameters=RequestParameters(
                deadline_ms=deadline_ms, priority=priority, cache=cache, allow=allow
            ),
            outputs=[OutputRequest(name) for name in outputs],
        )
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        try:
            encoded = encode_request(frame, arrays, binary=binary)
        except ValueError as error:
            raise RequestError(ErrorCode.BAD_DATATYPE, str(error)) from error
        timeout_s = self._timeout_s if deadline_ms is None else deadline_ms / 1e3 + _GRACE_S
        sent_s = time.monotonic()
        header, answer = await self._ask(request_id, encoded, timeout_s)
        about = header.parameters or AnswerParameters()
        return InferResult(
            outputs=answer,
            model=header.model_name,
            model_version=header.model_version,
            variant=about.variant,
            device=about.device,
            rung=about.rung,
            degraded=about.degraded,
            cached=about.cached,
            timing=Timing(
                queue_ms=about.queue_ms,
                infer_ms=about.infer_ms,
                total_ms=about.total_ms,
                round_trip_ms=(time.monotonic() - sent_s) * 1e3,
            ),
            failsafe=about.failsafe,
            shed=about.shed,
            age_ms=about.age_ms,
        )

    async def _ask(
        self, request_id: str, encoded: str | bytes, timeout_s: float
    ) -> tuple[ServerFrame, dict[str, Array]]:
        if self._keeper is None:
            raise LinkError("the client is not open", hint="use it in 'async with'")
        if self._broken is not None:
            raise self._broken
        if len(encoded) > self._max_message_bytes:
            raise RequestError(
                ErrorCode.FRAME_TOO_LARGE,
                f"the request of {len(encoded)} bytes is above the agent's limit of "
                f"{self._max_message_bytes}",
                hint="send fewer rows a request",
            )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(encoded, time.monotonic(), loop.create_future())
        self._waiting[request_id] = waiting
        timer = loop.call_later(timeout_s, self._time_out, request_id, timeout_s)
        try:
            await self._send_within(encoded, waiting.answer)
            return await waiting.answer
        except asyncio.CancelledError:
            connection = self._connection
            if connection is not None and not connection.transport.get_write_buffer_size():
                await self._send(encode_cancel(request_id))
            raise
        finally:
            timer.cancel()
            self._waiting.pop(request_id, None)

    async def _send_within(
        self, frame: str | bytes, answer: asyncio.Future[tuple[ServerFrame, dict[str, Array]]]
    ) -> None:
        """Send a request, but wait no longer than for its answer: a peer may have stopped reading."""
        connection = self._connection
        if connection is None:
            return
        if len(frame) <= _SMALL_BYTES and not connection.transport.get_write_buffer_size():
            await self._send(frame)
            return
        sending = asyncio.create_task(self._send(frame))
        try:
            await asyncio.wait((sending, answer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()

    def _time_out(self, request_id: str, timeout_s: float) -> None:
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.answer.done():
            return
        if self._connection is None:
            error: EdgeConsoleError = LinkError(
                f"{self._url} could not be reached again within {timeout_s:.3g} s"
            )
        else:
            error = RequestError(
                ErrorCode.DEADLINE_EXCEEDED, f"no answer came within {timeout_s:.3g} s"
            )
        waiting.answer.set_exception(error)

    async def _send(self, frame: str | bytes) -> None:
        """Send now if connected; what cannot be sent now goes out after the next connect."""
        if self._connection is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._connection.send(frame)

    async def _connect(self) -> ClientConnection:
        assert self._token is not None
        self._connection = await open_connection(
            self._url, INFER_PATH, self._token, max_bytes=MAX_ANSWER_BYTES
        )
        response = self._connection.response
        limit = response.headers.get(MAX_MESSAGE_HEADER, "") if response else ""
        self._max_message_bytes = int(limit) if limit.isdecimal() else MAX_ANSWER_BYTES
        return self._connection

    async def _keep(self, connection: ClientConnection) -> None:
        """Read answers; open the connection again for as long as the client lives."""
        backoff = Backoff()
        while True:
            await self._read(connection)
            self._connection = None
            connection = await self._reopen(backoff)
            backoff.reset()
            for waiting in list(self._waiting.values()):
                await self._send(waiting.frame)

    async def _reopen(self, backoff: Backoff) -> ClientConnection:
        while True:
            await asyncio.sleep(backoff.next_s())
            try:
                return await self._connect()
            except LinkError:
                continue
            except EdgeConsoleError as error:
                # Not a matter of time: every request gets to know until the client is opened anew.
                self._broken = error
                self._fail_all(error)
                await asyncio.get_running_loop().create_future()

    async def _read(self, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in connection:
                try:
                    header, outputs = decode_server_frame(frame)
                except RequestError:
                    # Nothing can be said about what follows either: start over.
                    await connection.close()
                    return
                waiting = self._waiting.get(header.id)
                if waiting is None or waiting.answer.done():
                    continue
                if header.error is None:
                    waiting.answer.set_result((header, outputs))
                else:
                    code = ErrorCode.parse(header.code)
                    waiting.answer.set_exception(
                        RequestError(
                            code,
                            header.error,
                            hint=header.hint,
                            estimated_wait_ms=header.estimated_wait_ms,
                        )
                    )

    def _fail_all(self, error: EdgeConsoleError) -> None:
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    def _find_token(self) -> str:
        if self._token is not None:
            return self._token
        if self._token_file is not None:
            return read_token(Path(self._token_file).expanduser())
        token = token_from_environment()
        if token is None:
            raise AuthError(
                "no token was given", hint="pass token= or token_file=, or set EDGECONSOLE_TOKEN"
            )
        return token


class SyncEdgeClient:
    """`EdgeClient` for code without an event loop; safe to use from several threads.

    Takes the same arguments and raises the same errors. Its event loop runs in a thread of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Prepare a client; see `EdgeClient`."""
        self._client = EdgeClient(url, token=token, token_file=token_file, timeout_s=timeout_s)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="edgeconsole-client", daemon=True
        )

    def __enter__(self) -> Self:
        """Connect; see `EdgeClient.__aenter__`."""
        self._thread.start()
        try:
            self._call(self._client.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection and end the thread."""
        try:
            self._call(self._client.__aexit__(None, None, None))
        finally:
            self._end()

    def infer(
        self,
        model: str,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        deadline_ms: float | None = None,
        priority: int = DEFAULT_PRIORITY,
        cache: bool = True,
        version: str = "",
        outputs: Sequence[str] = (),
        binary: bool = True,
        allow: Rung | None = None,
    ) -> InferResult:
        """Ask a model for an answer and wait for it; see `EdgeClient.infer`."""
        return self._call(
            self._client.infer(
                model,
                inputs,
                deadline_ms=deadline_ms,
                priority=priority,
                cache=cache,
                version=version,
                outputs=outputs,
                binary=binary,
                allow=allow,
            )
        )

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if not self._thread.is_alive():
            coroutine.close()
            raise LinkError("the client is not open", hint="use it in 'with'")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


__all__ = ["EdgeClient", "InferResult", "Rung", "SyncEdgeClient", "Timing"]
