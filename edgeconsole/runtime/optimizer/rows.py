"""Rows of the report for what was not timed, and which built model a row is of. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from edgeconsole.protocol.optimization import Variant, VariantStatus
from edgeconsole.runtime.optimizer.ledger import Built
from edgeconsole.runtime.optimizer.plan import Skipped


def model_of(name: str) -> str:
    """Return the built model's name: a variant with more threads is the same file."""
    stem, mark, threads = name.rpartition("-t")
    return stem if mark and threads.isdigit() else name


def row_of_failed(built: Built, failed: Mapping[str, str]) -> Variant:
    """Return the row of what could not be built, or of what gives no right answers."""
    return Variant(
        name=built.name,
        technique=built.technique,
        engine=built.execution.engine,
        threads=1,
        status=VariantStatus.FAILED,
        reason=built.failure or failed.get(built.name, "it was not judged"),
        note=built.note,
    )


def row_of_skipped(skipped: Skipped) -> Variant:
    """Return the row of what is not tried."""
    return Variant(
        name=skipped.name,
        technique=skipped.technique,
        engine=skipped.engine,
        threads=1,
        status=VariantStatus.SKIPPED,
        reason=skipped.reason,
    )
