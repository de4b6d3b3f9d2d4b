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

from edgeconsole.errors import ErrorCode, ProtocolError, RequestError
from edgeconsole.protocol.inference import ALIGNMENT
from edgeconsole.protocol.tensors import Array, Datatype
from edgeconsole.runtime.serving.channel import (
    FromWorker,
    Layout,
    Load,
    NotLoaded,
    Ran,
    Ready,
    Run,
    RunFailed,
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
def channel(area_bytes: int = 1 << 16) -> Iterator[tuple[SupervisorEnd, WorkerEnd]]:
    """Return both ends, as a supervisor and its child have them."""
    supervisor = SupervisorEnd(area_bytes)
    worker = WorkerEnd(
        os.dup(supervisor.worker_socket.fileno()),
        os.dup(supervisor.memory_fd),
        supervisor.area_bytes,
    )
    supervisor.close_worker_side()
    try:
        yield supervisor, worker
    finally:
        supervisor.close()
        worker._socket.close()


def heard_inputs(worker: WorkerEnd, supervisor: SupervisorEnd, layout: Layout) -> list[Array]:
    """Return the inputs as the worker sees them."""
    supervisor.send(Run(1, layout))
    run = worker.receive()
    assert isinstance(run, Run)
    return run.inputs.views


@given(inputs=ARRAYS, outputs=ARRAYS)
def test_tensors_arrive_bit_by_bit(inputs: list[Array], outputs: list[Array]) -> None:
    """Inputs and outputs cross in both directions at once without touching each other."""
    with channel() as (supervisor, worker):
        supervisor.send(Run(7, supervisor.inputs.write(inputs)))
        worker.send(Ran(7, 1.0, worker.outputs(7).write(outputs)))
        run, ran = worker.receive(), supervisor.receive()
        assert isinstance(run, Run)
        assert isinstance(ran, Ran)
        for sent, found in ((inputs, run.inputs.views), (outputs, ran.outputs.views)):
            assert [each.tobytes() for each in found] == [each.tobytes() for each in sent]
            assert [each.shape for each in found] == [each.shape for each in sent]
            assert [each.dtype for each in found] == [each.dtype for each in sent]


@given(ARRAYS)
def test_tensors_lie_aligned_and_apart(arrays: list[Array]) -> None:
    """Every tensor starts at a multiple of 64 bytes, behind the end of the one before."""
    with channel() as (supervisor, worker):
        layout = supervisor.inputs.write(arrays)
        end = 0
        for where, array in zip(layout.placed, arrays, strict=True):
            assert where.offset % ALIGNMENT == 0
            assert where.offset >= end
            end = where.offset + array.nbytes
        for view in heard_inputs(worker, supervisor, layout):
            assert view.size == 0 or view.ctypes.data % ALIGNMENT == 0


def test_views_are_not_copies() -> None:
    """A later write shows in the views of an earlier one: nothing was copied."""
    with channel() as (supervisor, worker):
        layout = supervisor.inputs.write([np.zeros(4, "f4")])
        (view,) = heard_inputs(worker, supervisor, layout)
        supervisor.inputs.write([np.arange(4, dtype="f4")])
        assert view.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_views_outlive_the_channel() -> None:
    """The memory goes with its last view, not with the socket."""
    with channel() as (supervisor, worker):
        layout = supervisor.inputs.write([np.arange(4)])
        (view,) = heard_inputs(worker, supervisor, layout)
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
    """An area holds exactly its bytes, padding counted; the others are never written to."""
    with channel(1) as (supervisor, worker):
        assert supervisor.area_bytes == mmap.PAGESIZE
        kept = [worker.outputs(seq).write([np.full(mmap.PAGESIZE, 7, "u1")]) for seq in (1, 2)]
        arrays = [np.full(size, 9, "u1") for size in sizes]
        if fits:
            assert len(supervisor.inputs.write(arrays).views) == len(sizes)
        else:
            with pytest.raises(RequestError, match="need more than the 4096 bytes") as caught:
                supervisor.inputs.write(arrays)
            assert caught.value.code is ErrorCode.BAD_DATA_SIZE
        assert all((layout.views[0] == 7).all() for layout in kept)


EXAMPLES = {str: "é\n", int: 2**40, float: 0.75, bool: True}


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


@pytest.mark.parametrize("word", words(Load | Stop), ids=lambda each: type(each).__name__)
def test_words_to_the_worker(word: ToWorker) -> None:
    """What the supervisor says is what the worker hears."""
    with channel() as (supervisor, worker):
        supervisor.send(word)
        assert worker.receive() == word


@pytest.mark.parametrize(
    "word", words(Ready | NotLoaded | RunFailed), ids=lambda each: type(each).__name__
)
def test_words_from_the_worker(word: FromWorker) -> None:
    """What the worker says is what the supervisor hears."""
    with channel() as (supervisor, worker):
        worker.send(word)
        assert supervisor.receive() == word


def test_words_keep_their_bounds_order_and_numbers() -> None:
    """Words sent together are read one by one, each with its own number and outputs."""
    with channel() as (supervisor, worker):
        for seq in range(1, 6):
            layout = worker.outputs(seq).write([np.full(seq, seq)])
            worker.send(Ran(seq, 0.5 * seq, layout))
        heard = [supervisor.receive() for _ in range(5)]
        assert all(isinstance(word, Ran) for word in heard)
        rans = [word for word in heard if isinstance(word, Ran)]
        assert [word.seq for word in rans] == [1, 2, 3, 4, 5]
        assert [word.infer_ms for word in rans] == [0.5, 1.0, 1.5, 2.0, 2.5]
        assert [word.outputs.views[0].shape for word in rans] == [(seq,) for seq in range(1, 6)]
        with pytest.raises(BlockingIOError):
            supervisor.receive()


def test_outputs_of_two_runs_in_a_row_do_not_touch() -> None:
    """The next batch may run while the last one's outputs are still read."""
    with channel() as (_, worker):
        first = worker.outputs(1).write([np.full(8, 1)])
        second = worker.outputs(2).write([np.full(8, 2)])
        assert (first.views[0] == 1).all()
        assert (second.views[0] == 2).all()


def test_layouts_are_remembered_and_forgotten() -> None:
    """The same shapes give the same object; of very many, only some are kept."""
    with channel() as (supervisor, worker):
        layout = supervisor.inputs.write([np.zeros(3)])
        assert supervisor.inputs.write([np.ones(3)]) is layout
        supervisor.send(Run(1, layout))
        supervisor.send(Run(2, layout))
        first, second = worker.receive(), worker.receive()
        assert isinstance(first, Run)
        assert isinstance(second, Run)
        assert first.inputs is second.inputs
        for size in range(1000):
            supervisor.inputs.write([np.zeros(size, "u1")])
        assert len(supervisor.inputs._by_tensors) <= 256


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([[[1 << 40], "FP32", 0]]),
        msgspec.msgpack.encode([[[4], "FP32", 1 << 40]]),
        msgspec.msgpack.encode([[[-1], "FP32", 0]]),
        msgspec.msgpack.encode([[[4], "FP33", 0]]),
    ],
)
def test_words_that_make_no_sense_are_a_typed_error(words: bytes) -> None:
    """A worker that went mad cannot make the supervisor read what is not there."""
    with channel() as (supervisor, worker):
        worker._socket.send(b"\x52" + bytes(16) + words)
        with pytest.raises(ProtocolError):
            supervisor.receive()
        worker._socket.send(b"\x52")
        with pytest.raises(ProtocolError):
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
