"""What a job's process left: its report, or why there is none, and bundles for the store."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MANIFEST_NAME
from edgeconsole.errors import BundleError, StoreError
from edgeconsole.protocol.jobs import JobBundle
from edgeconsole.protocol.optimization import OptimizationReport, VariantStatus
from edgeconsole.runtime.jobs.process import Ended
from edgeconsole.runtime.models.store import ModelStore

_EXIT_RECOMMENDED: Final = 0
_EXIT_NOTHING_FITS: Final = 1
_EXIT_REFUSED: Final = 2
_PREFIX: Final = "edgeconsole-agent optimize: "
_NO_REPORT: Final = "the optimiser ended without a report that can be read"
MAX_BUNDLES: Final = 64


def read_report(ended: Ended, model: str) -> OptimizationReport | str:
    """Return the report about a model, or why there is none."""
    if ended.killed_for:
        return ended.killed_for
    words = ended.last_words.removeprefix(_PREFIX)
    if ended.code < 0:
        return f"the optimiser's process was ended by {_signal(-ended.code)}"
    if ended.code == _EXIT_REFUSED and words:
        return words
    if ended.code not in (_EXIT_RECOMMENDED, _EXIT_NOTHING_FITS):
        return f"the optimiser exited with code {ended.code}" + (f": {words}" if words else "")
    try:
        report = msgspec.json.decode(ended.report, type=OptimizationReport)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _NO_REPORT + (f": {words}" if words else "")
    if report.model != model:
        return f"the optimiser's report is about {report.model!r}, not {model!r}"
    return report


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def take_in(
    store: ModelStore, out: Path, report: OptimizationReport, source: Bundle
) -> tuple[JobBundle, ...]:
    """Put the bundles of the variants that fit in the store, verified; returns them.

    The recommended one is the newest of its name afterwards. Blocking. Raises `BundleError` for one
    that is damaged, of another model, or missing though it is recommended; `StoreError` if the disk
    refuses. What was taken in before that stays.
    """
    fit = {each.digest for each in report.variants if each.status is VariantStatus.OK}
    first = recommended_digest(report)
    found: dict[str, Path] = {}
    for folder in _folders(out):
        bundle = Bundle.open(folder, on_device=True)
        if bundle.manifest.model != source.manifest.model:
            raise BundleError(f"a result is the model {bundle.manifest.model!r}")
        if bundle.digest in fit:
            found[bundle.digest] = folder
    if report.recommended is not None and first not in (*found, source.digest):
        raise BundleError("the recommended variant's bundle is missing")
    taken = [store.add(folder, on_device=True)[0] for folder in found.values()]
    if source.digest in fit and source.digest not in found:
        taken.append(source)
    if first:
        store.put_first(first)
    return tuple(named(bundle) for bundle in taken)


def recommended_digest(report: OptimizationReport) -> str:
    """Return the digest of the recommended variant's bundle; empty if there is none."""
    for each in report.variants:
        if each.name == report.recommended:
            return each.digest
    return ""


def named(bundle: Bundle) -> JobBundle:
    """Return a bundle's name for consoles."""
    manifest = bundle.manifest
    return JobBundle(manifest.model, manifest.version, manifest.variant, bundle.digest)


def _folders(out: Path) -> list[Path]:
    try:
        found = sorted(each for each in out.iterdir() if (each / MANIFEST_NAME).is_file())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{out}: cannot be read: {error.strerror}") from error
    if len(found) > MAX_BUNDLES:
        raise BundleError(f"there are {len(found)} results, {MAX_BUNDLES} are allowed")
    return [each for each in found if not each.name.startswith(".")]
