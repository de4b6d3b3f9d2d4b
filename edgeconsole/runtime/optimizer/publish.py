"""A variant as a bundle: the model file that was measured, with the original's data and new golden outputs."""

from __future__ import annotations

from pathlib import Path

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.writer import write_variant
from edgeconsole.engines import Execution
from edgeconsole.runtime.optimizer.children import Child
from edgeconsole.runtime.optimizer.jury import Jury
from edgeconsole.runtime.optimizer.words import DataSet


def publish(
    source: Bundle,
    model: Path,
    jury: Jury,
    probe: Child,
    *,
    variant: str,
    execution: Execution,
    out: Path,
) -> Bundle:
    """Write the bundle of a variant that a probe has open; what was there is replaced.

    Raises `BundleError` if the disk refuses, `ChildError` if the model does not answer.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    golden = jury.ask(probe, out.with_name(f"{out.name}.answers"), DataSet.GOLDEN)
    return write_variant(
        out,
        source,
        variant,
        model=model.read_bytes(),
        golden_inputs=source.golden()[0],
        golden_outputs=golden,
        execution=execution,
    )
