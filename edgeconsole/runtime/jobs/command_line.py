"""A job as the optimiser's command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeconsole.bundle import Bundle
from edgeconsole.optimization_options import Asked, option_words
from edgeconsole.protocol.jobs import Job


def arguments_of(
    job: Job, bundle: Bundle, cache: Path, out: Path, engines: Sequence[str] = ()
) -> list[str]:
    """Return the arguments for `edgeconsole-agent optimize`; without `engines` it uses all."""
    return [
        str(bundle.path.absolute()),
        "--json",
        "--progress",
        # The store holds nothing that runs code, and so it stays.
        "--no-torch",
        f"--cache={cache.absolute()}",
        f"--out={out.absolute()}",
        *([f"--engines={','.join(engines)}"] if engines else []),
        *option_words(Asked(job.level, job.objective, job.constraints, job.budget_s)),
    ]
