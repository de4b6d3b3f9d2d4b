"""A job as the optimiser's command line."""

from __future__ import annotations

from pathlib import Path

from edgeconsole.bundle import Bundle
from edgeconsole.optimization_options import Asked, option_words
from edgeconsole.protocol.jobs import Job


def arguments_of(job: Job, bundle: Bundle, cache: Path, out: Path) -> list[str]:
    """Return the arguments for `edgeconsole-agent optimize`."""
    return [
        str(bundle.path.absolute()),
        "--json",
        "--progress",
        # The store holds nothing that runs code, and so it stays.
        "--no-torch",
        f"--cache={cache.absolute()}",
        f"--out={out.absolute()}",
        *option_words(Asked(job.level, job.objective, job.constraints, job.budget_s)),
    ]
