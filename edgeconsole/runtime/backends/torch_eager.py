"""An exported program in torch, operator by operator: the optimiser's baseline, never served.

Loading a `.pt2` file can run code, so only a process of its own does it, for a bundle that a person
named.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgeconsole.errors import BackendError
from edgeconsole.protocol.tensors import Array


class TorchBackend:
    """A `model.pt2` run eagerly."""

    def __init__(self, path: Path, *, threads: int) -> None:
        try:
            import torch
        except ImportError as error:
            raise BackendError("torch is not installed here") from error
        self._torch = torch
        torch.set_num_threads(threads)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._module = torch.export.load(str(path)).module()
        # Loading runs what is in the file.
        except Exception as error:
            raise BackendError(f"torch cannot load {path.name}: {error}") from error

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the program once; see `Backend.run`."""
        torch = self._torch
        try:
            with torch.inference_mode():
                outputs = self._module(*[torch.from_numpy(each) for each in inputs])
        except Exception as error:
            raise BackendError(f"the program failed: {error}") from error
        return [np.asarray(each) for each in outputs]

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> Callable[[], None]:
        """Return a call with the tensors already made; eager outputs are new each time."""
        torch = self._torch
        del outputs
        tensors = [torch.from_numpy(each) for each in inputs]
        module = self._module

        def run_bound() -> None:
            with torch.inference_mode():
                module(*tensors)

        return run_bound
