"""The channel between the supervisor and one worker: shared memory for tensors, a socket for words.

The memory is a memfd that both map: one area for inputs and two for outputs, taken in turns, so that
the next batch can run while the answers of the last are still read. Tensors lie in it at 64-byte
alignment. Words are packets of at most some hundred bytes on a SOCK_SEQPACKET pair, one word a packet,
msgpack except for the two that every batch needs: those are a fixed head and the layout of the tensors,
and both sides remember the layouts they have seen. Sequence numbers keep a late answer from being taken
for another's.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np

from edgeconsole.errors import ErrorCode, ProtocolError, RequestError
from edgeconsole.protocol.inference import ALIGNMENT
from edgeconsole.protocol.tensors import Array, Datatype, element_count

MAX_WORDS_BYTES: Final = 64 * 1024
_KEPT_LAYOUTS: Final = 256
_AREAS: Final = 3
_RUN: Final = struct.Struct("<BQ")
_RAN: Final = struct.Struct("<BQd")
_HOT: Final = 0x52
"""The first byte of a word with a fixed head; msgpack words are arrays and start at 0x90."""

_Key = TypeVar("_Key")
_Natural = Annotated[int, msgspec.Meta(ge=0)]


class Placed(msgspec.Struct, frozen=True, array_like=True):
    """Where a tensor lies: shape, datatype, and byte offset in its half of the memory."""

    shape: tuple[_Natural, ...]
    datatype: Datatype
    offset: _Natural


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Tensors of given shapes in one area of memory; one object for each kind, compared by identity."""

    placed: tuple[Placed, ...]
    views: list[Array]
    words: bytes
    """`placed` as the other side is told it."""


class Load(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """First word to a worker: load this bundle and prove that it works."""

    bundle: str
    intra_op_threads: int
    """0: find out whether more than one thread pays."""
    cores: int
    max_rows: int
    measures: bool
    """Time batches of up to `max_rows`; the first worker does it for all, on cores that may serve."""


@dataclass(frozen=True, slots=True)
class Run:
    """Run the model on the inputs that lie in memory."""

    seq: int
    inputs: Layout


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """End."""


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The model is loaded and its golden outputs are right."""

    load_ms: float
    self_test_ms: float
    intra_op_threads: int
    curve: tuple[tuple[int, float], ...]
    """How long batches take: rows and ms; empty if it was not asked to measure."""


class NotLoaded(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The model cannot be served; the worker ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ran:
    """The outputs lie in memory, until the batch after the next one runs."""

    seq: int
    infer_ms: float
    outputs: Layout


class RunFailed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The model could not run on these inputs; the worker is ready for the next."""

    seq: int
    reason: str


ToWorker = Load | Run | Stop
FromWorker = Ready | NotLoaded | Ran | RunFailed

_encode: Final = msgspec.msgpack.Encoder().encode
_to_worker: Final[msgspec.msgpack.Decoder[Load | Stop]] = msgspec.msgpack.Decoder(Load | Stop)
_from_worker: Final[msgspec.msgpack.Decoder[Ready | NotLoaded | RunFailed]] = (
    msgspec.msgpack.Decoder(Ready | NotLoaded | RunFailed)
)
_placed: Final = msgspec.msgpack.Decoder(tuple[Placed, ...])


class TensorMemory:
    """One area of the shared memory; writes and reads tensors at aligned offsets."""

    def __init__(self, memory: mmap.mmap, start: int, size: int) -> None:
        self._bytes = np.frombuffer(memoryview(memory)[start : start + size], np.uint8)
        self._by_tensors: dict[tuple[tuple[tuple[int, ...], np.dtype[Any]], ...], Layout] = {}
        self._by_words: dict[bytes, Layout] = {}

    def write(self, arrays: Sequence[Array]) -> Layout:
        """Copy arrays in; raises `RequestError` (BAD_DATA_SIZE) if they do not fit."""
        layout = self.place(tuple([(array.shape, array.dtype) for array in arrays]))
        for view, array in zip(layout.views, arrays, strict=True):
            np.copyto(view, array)
        return layout

    def write_rows(self, columns: Sequence[Sequence[Array]]) -> Layout:
        """Copy several requests' arrays in as one batch; `columns` has them input by input.

        Arrays of one input agree in datatype and in all but the first dimension. Raises
        `RequestError` (BAD_DATA_SIZE) if they do not fit.
        """
        layout = self.place(
            tuple(
                [
                    (
                        (sum([len(array) for array in arrays]), *arrays[0].shape[1:]),
                        arrays[0].dtype,
                    )
                    for arrays in columns
                ]
            )
        )
        for view, arrays in zip(layout.views, columns, strict=True):
            np.concatenate(arrays, out=view)
        return layout

    def place(self, tensors: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]) -> Layout:
        """Find room for tensors of these shapes, in order; raises as `write` does."""
        layout = self._by_tensors.get(tensors)
        if layout is None:
            layout = _remember(self._by_tensors, tensors, self._place(tensors))
        return layout

    def read(self, words: bytes) -> Layout:
        """Return the layout that the other side names; raises `ProtocolError` if it makes no sense."""
        layout = self._by_words.get(words)
        if layout is None:
            try:
                placed = _placed.decode(words)
                layout = Layout(placed, [self._view(each) for each in placed], words)
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                raise ProtocolError(f"a word names tensors that are not there: {error}") from error
            _remember(self._by_words, words, layout)
        return layout

    def _place(self, tensors: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]) -> Layout:
        placed: list[Placed] = []
        offset = 0
        for shape, dtype in tensors:
            end = offset + element_count(shape) * dtype.itemsize
            if end > self._bytes.size:
                raise RequestError(
                    ErrorCode.BAD_DATA_SIZE,
                    f"the tensors need more than the {self._bytes.size} bytes a worker has for them",
                )
            placed.append(Placed(shape, Datatype.of(dtype), offset))
            offset = -(-end // ALIGNMENT) * ALIGNMENT
        return Layout(tuple(placed), [self._view(each) for each in placed], _encode(placed))

    def _view(self, each: Placed) -> Array:
        dtype = each.datatype.dtype
        end = each.offset + element_count(each.shape) * dtype.itemsize
        return self._bytes[each.offset : end].view(dtype).reshape(each.shape)


def _remember(kept: dict[_Key, Layout], key: _Key, layout: Layout) -> Layout:
    """Keep a layout; when there are too many, all are learnt anew."""
    if len(kept) >= _KEPT_LAYOUTS:
        kept.clear()
    kept[key] = layout
    return layout


def _areas(memory: mmap.mmap, area_bytes: int) -> list[TensorMemory]:
    return [TensorMemory(memory, index * area_bytes, area_bytes) for index in range(_AREAS)]


class SupervisorEnd:
    """The supervisor's end: non-blocking words, `inputs` to write."""

    def __init__(self, area_bytes: int) -> None:
        area_bytes = -(-area_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.area_bytes = area_bytes
        self.memory_fd = os.memfd_create("edgeconsole-tensors", os.MFD_CLOEXEC)
        # Pages are only taken when they are written, so a roomy size costs nothing.
        os.ftruncate(self.memory_fd, _AREAS * area_bytes)
        memory = mmap.mmap(self.memory_fd, _AREAS * area_bytes)
        self.inputs, *self._outputs = _areas(memory, area_bytes)
        self.socket, self.worker_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)

    def send(self, message: ToWorker) -> None:
        """Send a word; raises `OSError` if the worker is gone."""
        if isinstance(message, Run):
            self.socket.send(_RUN.pack(_HOT, message.seq) + message.inputs.words)
        else:
            self.socket.send(_encode(message))

    def receive(self) -> FromWorker | None:
        """Return the next word, or `None` if the worker closed.

        Raises `BlockingIOError` if there is none, `ProtocolError` for one that makes no sense.
        """
        data = self.socket.recv(MAX_WORDS_BYTES)
        if not data:
            return None
        try:
            if data[0] == _HOT:
                _, seq, infer_ms = _RAN.unpack_from(data)
                return Ran(seq, infer_ms, self._outputs[seq & 1].read(data[_RAN.size :]))
            return _from_worker.decode(data)
        except (msgspec.MsgspecError, struct.error) as error:
            raise ProtocolError(f"a word cannot be read: {error}") from error

    def close_worker_side(self) -> None:
        """Close what now belongs to the child."""
        self.worker_socket.close()
        os.close(self.memory_fd)

    def close(self) -> None:
        """Close the socket; the memory goes with the last view."""
        self.socket.close()


class WorkerEnd:
    """The worker's end: blocking words."""

    def __init__(self, socket_fd: int, memory_fd: int, area_bytes: int) -> None:
        self._socket = socket.socket(fileno=socket_fd)
        memory = mmap.mmap(memory_fd, _AREAS * area_bytes)
        os.close(memory_fd)
        self._inputs, *self._outputs = _areas(memory, area_bytes)

    def outputs(self, seq: int) -> TensorMemory:
        """Return where the outputs of a run go."""
        return self._outputs[seq & 1]

    def send(self, message: FromWorker) -> None:
        """Send a word; raises `OSError` if the supervisor is gone."""
        if isinstance(message, Ran):
            head = _RAN.pack(_HOT, message.seq, message.infer_ms)
            self._socket.send(head + message.outputs.words)
        else:
            self._socket.send(_encode(message))

    def receive(self) -> ToWorker | None:
        """Wait for the next word; `None` if the supervisor is gone."""
        data = self._socket.recv(MAX_WORDS_BYTES)
        if not data:
            return None
        if data[0] == _HOT:
            _, seq = _RUN.unpack_from(data)
            return Run(seq, self._inputs.read(data[_RUN.size :]))
        return _to_worker.decode(data)
