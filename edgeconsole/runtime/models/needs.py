"""Why a stored bundle must stay: who would miss it. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from edgeconsole.bundle import Bundle
from edgeconsole.errors import BundleError, StoreError
from edgeconsole.runtime.config import AgentSettings
from edgeconsole.runtime.models.store import ModelStore


def look(
    store: ModelStore,
    settings: AgentSettings,
    *,
    loaded: Collection[str],
    working: Mapping[str, str],
) -> Callable[[str], str]:
    """Return what says of a digest why it must stay; empty: nothing needs it.

    Args:
        store: Where the bundle is.
        settings: What device.toml says.
        loaded: The digests that have workers.
        working: The digests that jobs work on, each with its job.
    """
    try:
        active = store.active()
    except StoreError as error:
        unknown = f"which bundles answer is not known: {error.message}"
        return lambda _: unknown
    reasons = {digest: f"job {job_id} works on it" for digest, job_id in working.items()}
    # Were it removed, it would be new at the next start, and so be what answers.
    reasons |= dict.fromkeys(_configured(settings), "device.toml names it")
    reasons |= dict.fromkeys(loaded, "it is loaded")
    for name, recorded in active.items():
        if recorded.previous is not None:
            reasons[recorded.previous] = f"it answered to {name!r} before, and may have to again"
    reasons |= {each.active: f"it answers to {name!r}" for name, each in active.items()}
    return lambda digest: reasons.get(digest, "")


def _configured(settings: AgentSettings) -> set[str]:
    found: set[str] = set()
    for spec in settings.config.model_specs:
        path = settings.bundle_path(spec)
        if path is None:
            continue
        try:
            found.add(Bundle.open(path).digest)
        except BundleError:
            # What cannot be opened at the next start will not be taken in either.
            continue
    return found
