"""Describes the machine that a run was made on, so that its numbers can be judged later."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Final

import msgspec
import psutil

_PACKAGES: Final = (
    "ai-edge-litert",
    "edgeconsole",
    "msgspec",
    "numpy",
    "onnxruntime",
    "openvino",
    "torch",
    "uvloop",
    "websockets",
)


class Machine(msgspec.Struct, frozen=True):
    """What the numbers of a run depend on, as far as the machine tells."""

    cpu: str
    cores: int
    memory_mb: int
    kernel: str
    python: str
    governor: str
    """The frequency governor of the first core; empty where the machine does not say."""
    packages: dict[str, str]
    commit: str
    """The source's commit, `+` if files were changed; empty outside a repository."""


class Load(msgspec.Struct, frozen=True):
    """How busy the machine was at one moment."""

    time_unix_s: float
    load_average: tuple[float, float, float]


def describe() -> Machine:
    """Look at the machine."""
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        memory_mb=psutil.virtual_memory().total // 2**20,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        packages={name: version for name in _PACKAGES if (version := _version(name))},
        commit=_commit(),
    )


def load_now() -> Load:
    """Look at how busy the machine is."""
    return Load(time.time(), os.getloadavg())


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        found = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return found + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(  # noqa: S603 - a fixed command
        command, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
