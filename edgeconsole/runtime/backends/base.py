"""The interface every engine implements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> Callable[[], None]:
        """Return a call that runs the model from and to these arrays, again and again.

        The outputs have the right shapes. The call raises `BackendError` if the engine refuses.
        """
        ...
