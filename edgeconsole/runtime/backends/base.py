"""The interface every engine implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgeconsole.protocol.tensors import Array


class Backend(Protocol):
    """A model loaded in an engine; made and used in one worker process only."""

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the model once.

        `inputs` are in the manifest's order, C-contiguous, and may be views that end with the call;
        the outputs come in the manifest's order. Raises `BackendError` if the engine refuses.
        """
        ...

    def run_into(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Run the model once and leave its outputs in arrays of the right shapes.

        The same arrays come again and again (they lie in shared memory), so an engine may remember
        how it bound them. Raises `BackendError` if the engine refuses.
        """
        ...
