"""The rung `static`: the declared answer for as many rows as a request has."""

from __future__ import annotations

from typing import Self

import msgspec
import numpy as np

from edgeconsole.bundle import Manifest
from edgeconsole.bundle.static_answer import static_rows
from edgeconsole.protocol.tensors import Array
from edgeconsole.specs import FailsafeSpec

NOT_DECLARED = "no static answer is declared"


class StaticAnswer:
    """A declared answer that was checked against the model's outputs."""

    def __init__(self, manifest: Manifest, rows: dict[str, Array]) -> None:
        self._rows = rows
        self._batched = {spec.name: spec.is_batched for spec in manifest.outputs}

    @classmethod
    def declared(cls, manifest: Manifest, spec: FailsafeSpec) -> tuple[Self | None, str]:
        """Return the answer device.toml declares, else the bundle's; or why there is none."""
        declared = spec.static_answer
        where = "device.toml"
        if not declared:
            if manifest.static_answer is msgspec.UNSET:
                return None, NOT_DECLARED
            declared, where = manifest.static_answer, "the bundle"
        try:
            return cls(manifest, static_rows(manifest.outputs, declared)), ""
        except ValueError as error:
            return None, f"{where}: {error}"

    def outputs(self, rows: int, wanted: tuple[str, ...]) -> list[tuple[str, Array]]:
        """Return the answer to a request of `rows` rows: all outputs, or those that are wanted."""
        return [
            (
                name,
                np.broadcast_to(row, (rows, *row.shape)) if self._batched[name] else row,
            )
            for name, row in self._rows.items()
            if not wanted or name in wanted
        ]
