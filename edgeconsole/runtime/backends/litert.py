"""LiteRT with XNNPACK: the smallest process and, for small models, the fastest; reads `.tflite`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeconsole.bundle import Manifest
from edgeconsole.engines import Engine, install_hint
from edgeconsole.errors import BackendError
from edgeconsole.protocol.tensors import Array, TensorSpec

_Detail = dict[str, Any]


class LiteRtBackend:
    """A model for one row, or of one fixed shape, in LiteRT's interpreter.

    A request of several rows is run row by row: the file's shapes cannot change.
    """

    def __init__(self, path: Path, manifest: Manifest, *, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BackendError(
                f"LiteRT cannot be imported: {error}", hint=install_hint(Engine.LITERT)
            ) from error
        self._by_row = manifest.is_batched
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
            # The file's own order may be any; a signature has the names.
            signature = self._interpreter.get_signature_runner()
            inputs, outputs = signature.get_input_details(), signature.get_output_details()
        # The interpreter raises ValueError, RuntimeError and what its delegates raise.
        except Exception as error:
            raise BackendError(f"LiteRT cannot load {path.name}: {error}") from error
        self._inputs = _matched(inputs, manifest.inputs, "input", by_row=self._by_row)
        self._outputs = _matched(outputs, manifest.outputs, "output", by_row=self._by_row)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the model once a row; see `Backend.run`."""
        rows = inputs[0].shape[0] if self._by_row else 1
        outputs = [self._made(detail, rows) for detail in self._outputs]
        self.bind(inputs, outputs)()
        return outputs

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> Callable[[], None]:
        """Return a call that copies in, runs and copies out; see `Backend.bind`."""
        steps = list(zip(self._parts(inputs), self._parts(outputs), strict=True))
        invoke = self._interpreter.invoke
        # Views of the interpreter's memory; one that is kept would keep it from running.
        put = [self._interpreter.tensor(detail["index"]) for detail in self._inputs]
        get = [self._interpreter.tensor(detail["index"]) for detail in self._outputs]

        def run_bound() -> None:
            try:
                for given, wanted in steps:
                    for view, array in zip(put, given, strict=True):
                        np.copyto(view(), array, casting="no")
                    invoke()
                    for view, array in zip(get, wanted, strict=True):
                        np.copyto(array, view(), casting="no")
            except Exception as error:
                raise BackendError(f"the model failed: {error}") from error

        return run_bound

    def _parts(self, arrays: Sequence[Array]) -> list[list[Array]]:
        """Return what goes in, or comes out, with each run."""
        if not self._by_row:
            return [list(arrays)]
        return [[array[row : row + 1] for array in arrays] for row in range(arrays[0].shape[0])]

    def _made(self, detail: _Detail, rows: int) -> Array:
        shape = tuple(int(dim) for dim in detail["shape"])
        return np.empty((rows, *shape[1:]) if self._by_row else shape, detail["dtype"])


def _matched(
    details: dict[str, _Detail], specs: tuple[TensorSpec, ...], what: str, *, by_row: bool
) -> list[_Detail]:
    """Return the file's tensors in the manifest's order; raises `BackendError` if they are others."""
    names = [spec.name for spec in specs]
    if set(details) != set(names):
        raise BackendError(
            f"the file's {what}s {sorted(details)} are not those of the manifest, {names}"
        )
    for name, spec in zip(names, specs, strict=True):
        detail = details[name]
        shape = tuple(int(dim) for dim in detail["shape"])
        fits = spec.fits(shape) and (not by_row or shape[0] == 1)
        if np.dtype(detail["dtype"]) != spec.datatype.dtype or not fits:
            raise BackendError(
                f"the file's {what} for {spec.name!r} is {np.dtype(detail['dtype'])} "
                f"{list(shape)}, the manifest says {spec.datatype} {list(spec.shape)}"
            )
    return [details[name] for name in names]
