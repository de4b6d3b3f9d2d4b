"""A job as the optimiser's command line."""

from __future__ import annotations

from pathlib import Path

from edgeconsole.bundle import Bundle
from edgeconsole.protocol.jobs import Job

_MIB = 1 << 20


def arguments_of(job: Job, bundle: Bundle, cache: Path, out: Path) -> list[str]:
    """Return the arguments for `edgeconsole-agent optimize`."""
    limits = job.constraints
    arguments = [
        str(bundle.path.absolute()),
        "--json",
        "--progress",
        # The store holds nothing that runs code, and so it stays.
        "--no-torch",
        f"--cache={cache.absolute()}",
        f"--out={out.absolute()}",
        f"--level={job.level.value}",
        f"--objective={job.objective.value}",
        f"--budget={job.budget_s:f}s",
        f"--max-drop={limits.max_drop!r}",
    ]
    if limits.max_p99_ms is not None:
        arguments.append(f"--max-p99-ms={limits.max_p99_ms!r}")
    if limits.max_memory_bytes is not None:
        arguments.append(f"--max-memory-mb={limits.max_memory_bytes / _MIB!r}")
    if limits.max_size_bytes is not None:
        arguments.append(f"--max-size-mb={limits.max_size_bytes / _MIB!r}")
    return arguments
