"""Both ends of the channel in one process: tensors through shared memory, words through a socket."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import ALIGNMENT
from edgeconsole.protocol.tensors import Array, Datatype
from edgeconsole.runtime.serving.channel import (
    FromWorker,
    Placed,
    Ran,
    Stop,
    SupervisorEnd,
    ToWorker,
    WorkerEnd,
)

ARRAYS = st.lists(
    st.sampled_from(list(Datatype)).flatmap(
        lambda each: hnp.arrays(each.dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
    ),
    max_size=5,
)


@contextmanager
def channel(half_bytes: int = 1 << 16) -> Iterator[tuple[SupervisorEnd, WorkerEnd]]:
    """Return both ends, as a supervisor and its child have them."""
    supervisor = SupervisorEnd(half_bytes)
    worker = WorkerEnd(
        os.dup(supervisor.worker_socket.fileno()),
        os.dup(supervisor.memory_fd),
        supervisor.half_bytes,
    )
    supervisor.close_worker_side()
    try:
        yield supervisor, worker
    finally:
        supervisor.close()
        worker._socket.close()


@given(inputs=ARRAYS, outputs=ARRAYS)
def test_tensors_arrive_bit_by_bit(inputs: list[Array], outputs: list[Array]) -> None:
    """Inputs and outputs cross in both directions at once without touching each other."""
    with channel() as (supervisor, worker):
        placed_in = supervisor.inputs.write(inputs)
        placed_out = worker.outputs.write(outputs)
        for sent, found in (
            (inputs, worker.inputs.read(placed_in)),
            (outputs, supervisor.outputs.read(placed_out)),
        ):
            assert [each.tobytes() for each in found] == [each.tobytes() for each in sent]
            assert [each.shape for each in found] == [each.shape for each in sent]
            assert [each.dtype for each in found] == [each.dtype for each in sent]


@given(ARRAYS)
def test_tensors_lie_aligned_and_apart(arrays: list[Array]) -> None:
    """Every tensor starts at a multiple of 64 bytes, behind the end of the one before."""
    with channel() as (supervisor, worker):
        placed = supervisor.inputs.write(arrays)
        end = 0
        for where, array in zip(placed, arrays, strict=True):
            assert where.offset % ALIGNMENT == 0
            assert where.offset >= end
            end = where.offset + array.nbytes
        for view in worker.inputs.read(placed):
            assert view.size == 0 or view.ctypes.data % ALIGNMENT == 0


def test_views_are_not_copies() -> None:
    """A later write shows in the views of an earlier one: nothing was copied."""
    with channel() as (supervisor, worker):
        (view,) = worker.inputs.read(supervisor.inputs.write([np.zeros(4, "f4")]))
        supervisor.inputs.write([np.arange(4, dtype="f4")])
        assert view.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_views_outlive_the_channel() -> None:
    """The memory goes with its last view, not with the socket."""
    with channel() as (supervisor, worker):
        (view,) = worker.inputs.read(supervisor.inputs.write([np.arange(4)]))
    assert view.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        ([mmap.PAGESIZE], True),
        ([mmap.PAGESIZE + 1], False),
        ([mmap.PAGESIZE - 64, 64], True),
        ([mmap.PAGESIZE - 63, 64], False),
        ([mmap.PAGESIZE, 0], True),
        ([0, 0], True),
    ],
)
def test_what_does_not_fit_is_refused(sizes: list[int], *, fits: bool) -> None:
    """A half holds exactly its bytes, padding counted; the other half is never written to."""
    with channel(1) as (supervisor, worker):
        assert supervisor.half_bytes == mmap.PAGESIZE
        kept = worker.outputs.write([np.full(mmap.PAGESIZE, 7, "u1")])
        arrays = [np.full(size, 9, "u1") for size in sizes]
        if fits:
            assert len(supervisor.inputs.write(arrays)) == len(sizes)
        else:
            with pytest.raises(RequestError, match="need more than the 4096 bytes") as caught:
                supervisor.inputs.write(arrays)
            assert caught.value.code is ErrorCode.BAD_DATA_SIZE
        assert (supervisor.outputs.read(kept)[0] == 7).all()


PLACED = (Placed((2, 3), Datatype.FP32, 0), Placed((), Datatype.BOOL, 64))
EXAMPLES = {str: "é\n", int: 2**40, float: 0.75, bool: True, Placed: PLACED[0]}


def example(kind: Any) -> Any:
    """Return something that may stand in a field of this type."""
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        return tuple(map(example, inner[:1] * 2 if inner[-1] is ... else inner))
    return EXAMPLES[kind]


def words(kinds: Any) -> list[Any]:
    """Return one of each kind of word, with something in every field."""
    return [
        kind(**{each.name: example(each.type) for each in msgspec.structs.fields(kind)})
        for kind in get_args(kinds)
    ]


@pytest.mark.parametrize("word", words(ToWorker), ids=lambda each: type(each).__name__)
def test_words_to_the_worker(word: ToWorker) -> None:
    """What the supervisor says is what the worker hears."""
    with channel() as (supervisor, worker):
        supervisor.send(word)
        assert worker.receive() == word


@pytest.mark.parametrize("word", words(FromWorker), ids=lambda each: type(each).__name__)
def test_words_from_the_worker(word: FromWorker) -> None:
    """What the worker says is what the supervisor hears."""
    with channel() as (supervisor, worker):
        worker.send(word)
        assert supervisor.receive() == word


def test_words_keep_their_bounds_order_and_numbers() -> None:
    """Words sent together are read one by one, each with its own number."""
    ran = next(word for word in words(FromWorker) if isinstance(word, Ran))
    with channel() as (supervisor, worker):
        for seq in range(1, 6):
            worker.send(msgspec.structs.replace(ran, seq=seq))
        heard = [supervisor.receive() for _ in range(5)]
        assert [word.seq for word in heard if isinstance(word, Ran)] == [1, 2, 3, 4, 5]
        with pytest.raises(BlockingIOError):
            supervisor.receive()


def test_a_worker_that_is_gone_is_noticed() -> None:
    """A closed end reads as `None`, and sending to it is an `OSError`."""
    with channel() as (supervisor, worker):
        worker._socket.close()
        assert supervisor.receive() is None
        with pytest.raises(OSError, match="Broken pipe"):
            supervisor.send(Stop())


def test_a_supervisor_that_is_gone_is_noticed() -> None:
    """A worker whose supervisor died does not wait for ever."""
    with channel() as (supervisor, worker):
        supervisor.close()
        assert worker.receive() is None


def test_no_descriptors_are_left() -> None:
    """A channel that was closed gives back every descriptor it opened."""
    with channel():
        pass
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with channel() as (supervisor, worker):
            supervisor.inputs.write([np.zeros(3)])
        del supervisor, worker
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
