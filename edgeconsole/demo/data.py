"""The demo bundles and the 599 handwritten digits that no demo model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeconsole.bundle import Bundle
from edgeconsole.errors import BundleError

BUNDLE_NAMES: Final = ("digits", "digits-tiny")
_BUNDLES: Final = Path(__file__).resolve().parent / "bundles"


def bundle_path(name: str) -> Path:
    """Return the folder of a demo bundle; raises `BundleError` for an unknown name."""
    if name not in BUNDLE_NAMES:
        raise BundleError(f"there is no demo bundle {name!r}", hint=f"one of {list(BUNDLE_NAMES)}")
    return _BUNDLES / name


def load_heldout() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return held-out images (float32 `[599, 1, 8, 8]`, 0 to 1) and their digits (int64 `[599]`).

    Raises `BundleError` if the shipped bundle is damaged.
    """
    evaluation = Bundle.open(bundle_path("digits")).evaluation()
    if evaluation is None:
        raise BundleError(
            "the demo bundle has no evaluation data", hint="install the package again"
        )
    inputs, labels = evaluation
    return inputs["image"], labels
