"""Which bundles variants can be made of. Pure."""

from __future__ import annotations

from edgeconsole.bundle import Manifest
from edgeconsole.engines import PLAIN
from edgeconsole.errors import BundleError


def check_source(manifest: Manifest) -> None:
    """Raise `BundleError` for what is a variant for another engine itself.

    Its golden answers are that engine's, and its file may be one that only it reads.
    """
    if manifest.execution != PLAIN:
        raise BundleError(
            f"{manifest.key} is a variant for {manifest.execution.engine}",
            hint="optimise the bundle it was made from; --help says how to name one on a device",
        )
