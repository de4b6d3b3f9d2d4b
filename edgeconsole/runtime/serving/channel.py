"""The channel between the supervisor and one worker: shared memory for tensors, a socket for words.

The memory is a memfd that both map, split in an input half and an output half; tensors lie in it at
64-byte alignment. Words are msgpack messages of at most some hundred bytes on a SOCK_SEQPACKET
pair, one message a packet. Sequence numbers keep a late answer from being taken for another's.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import ALIGNMENT
from edgeconsole.protocol.tensors import Array, Datatype, element_count

MAX_WORDS_BYTES: Final = 64 * 1024


class Placed(msgspec.Struct, frozen=True, array_like=True):
    """Where a tensor lies: shape, datatype, and byte offset in its half of the memory."""

    shape: tuple[int, ...]
    datatype: Datatype
    offset: int


class Load(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """First word to a worker: load this bundle and prove that it works."""

    bundle: str
    intra_op_threads: int
    """0: find out whether more than one thread pays."""
    cores: int
    max_rows: int


class Run(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Run the model on the inputs that lie in memory."""

    seq: int
    inputs: tuple[Placed, ...]


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """End."""


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The model is loaded and its golden outputs are right."""

    load_ms: float
    self_test_ms: float
    intra_op_threads: int
    curve: tuple[tuple[int, float], ...]
    """How long batches take: rows and ms."""


class NotLoaded(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The model cannot be served; the worker ends."""

    reason: str


class Ran(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The outputs lie in memory."""

    seq: int
    infer_ms: float
    outputs: tuple[Placed, ...]


class RunFailed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The model could not run on these inputs; the worker is ready for the next."""

    seq: int
    reason: str


ToWorker = Load | Run | Stop
FromWorker = Ready | NotLoaded | Ran | RunFailed

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_to_worker: Final = msgspec.msgpack.Decoder(ToWorker).decode
_decode_from_worker: Final = msgspec.msgpack.Decoder(FromWorker).decode


class TensorMemory:
    """One half of the shared memory; writes and reads tensors at aligned offsets."""

    def __init__(self, memory: mmap.mmap, start: int, size: int) -> None:
        self._raw = memoryview(memory)[start : start + size]
        self._bytes = np.frombuffer(self._raw, np.uint8)

    def write(self, arrays: Sequence[Array]) -> tuple[Placed, ...]:
        """Copy arrays in; raises `RequestError` (BAD_DATA_SIZE) if they do not fit."""
        placed = self.place([(array.shape, Datatype.of(array.dtype)) for array in arrays])
        for each, array in zip(placed, arrays, strict=True):
            if array.flags.c_contiguous and array.size:
                self._raw[each.offset : each.offset + array.nbytes] = array.data.cast("B")
            else:
                np.copyto(self._view(each), array)
        return placed

    def write_rows(self, columns: Sequence[Sequence[Array]]) -> tuple[Placed, ...]:
        """Copy several requests' arrays in as one batch; `columns` has them input by input.

        Arrays of one input agree in datatype and in all but the first dimension. Raises
        `RequestError` (BAD_DATA_SIZE) if they do not fit.
        """
        placed = self.place(
            [
                (
                    (sum(len(array) for array in arrays), *arrays[0].shape[1:]),
                    Datatype.of(arrays[0].dtype),
                )
                for arrays in columns
            ]
        )
        for each, arrays in zip(placed, columns, strict=True):
            np.concatenate(arrays, out=self._view(each))
        return placed

    def place(self, tensors: Iterable[tuple[tuple[int, ...], Datatype]]) -> tuple[Placed, ...]:
        """Find room for tensors of these shapes, in order; raises as `write` does."""
        placed: list[Placed] = []
        offset = 0
        for shape, datatype in tensors:
            end = offset + element_count(shape) * datatype.dtype.itemsize
            if end > self._bytes.size:
                raise RequestError(
                    ErrorCode.BAD_DATA_SIZE,
                    f"the tensors need more than the {self._bytes.size} bytes a worker has for them",
                )
            placed.append(Placed(shape, datatype, offset))
            offset = -(-end // ALIGNMENT) * ALIGNMENT
        return tuple(placed)

    def read(self, placed: Sequence[Placed]) -> list[Array]:
        """Return views, valid until the next write."""
        return [self._view(each) for each in placed]

    def _view(self, each: Placed) -> Array:
        dtype = each.datatype.dtype
        end = each.offset + element_count(each.shape) * dtype.itemsize
        return self._bytes[each.offset : end].view(dtype).reshape(each.shape)


class SupervisorEnd:
    """The supervisor's end: non-blocking words, `inputs` to write and `outputs` to read."""

    def __init__(self, half_bytes: int) -> None:
        half_bytes = -(-half_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.half_bytes = half_bytes
        self.memory_fd = os.memfd_create("edgeconsole-tensors", os.MFD_CLOEXEC)
        # Pages are only taken when they are written, so a roomy size costs nothing.
        os.ftruncate(self.memory_fd, 2 * half_bytes)
        memory = mmap.mmap(self.memory_fd, 2 * half_bytes)
        self.inputs = TensorMemory(memory, 0, half_bytes)
        self.outputs = TensorMemory(memory, half_bytes, half_bytes)
        self.socket, self.worker_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)

    def send(self, message: ToWorker) -> None:
        """Send a word; raises `OSError` if the worker is gone."""
        self.socket.send(_encode(message))

    def receive(self) -> FromWorker | None:
        """Return the next word, or `None` if the worker closed; raises `BlockingIOError` if none."""
        data = self.socket.recv(MAX_WORDS_BYTES)
        return _decode_from_worker(data) if data else None

    def close_worker_side(self) -> None:
        """Close what now belongs to the child."""
        self.worker_socket.close()
        os.close(self.memory_fd)

    def close(self) -> None:
        """Close the socket; the memory goes with the last view."""
        self.socket.close()


class WorkerEnd:
    """The worker's end: blocking words."""

    def __init__(self, socket_fd: int, memory_fd: int, half_bytes: int) -> None:
        self._socket = socket.socket(fileno=socket_fd)
        memory = mmap.mmap(memory_fd, 2 * half_bytes)
        os.close(memory_fd)
        self.inputs = TensorMemory(memory, 0, half_bytes)
        self.outputs = TensorMemory(memory, half_bytes, half_bytes)

    def send(self, message: FromWorker) -> None:
        """Send a word; raises `OSError` if the supervisor is gone."""
        self._socket.send(_encode(message))

    def receive(self) -> ToWorker | None:
        """Wait for the next word; `None` if the supervisor is gone."""
        data = self._socket.recv(MAX_WORDS_BYTES)
        return _decode_to_worker(data) if data else None
