"""Builds `shim.c` and commands it: an `fsync` that fails, a wall clock that is off."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path


class Shim:
    """The library and the file that commands it."""

    def __init__(self, folder: Path) -> None:
        """Build it; raises `RuntimeError` where there is no C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise RuntimeError("no C compiler")
        library = folder / "shim.so"
        self._control = folder / "control"
        self.environment = {
            "LD_PRELOAD": str(library),
            "EDGECONSOLE_FAULT_CONTROL": str(self._control),
        }
        """What a program must be started with."""
        source = Path(__file__).with_name("shim.c")
        built = subprocess.run(  # noqa: S603 - our own source
            [compiler, "-shared", "-fPIC", "-O1", "-o", library, source],
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            raise RuntimeError(f"the C compiler failed: {built.stderr.strip()[-200:]}")
        self.command()

    def command(self, *, sync_fails: bool = False, offset_s: int = 0) -> None:
        """Say what it does from now on."""
        data = struct.pack("=qq", sync_fails, offset_s)
        # In place: the agent has the file mapped.
        with self._control.open("r+b" if self._control.exists() else "w+b") as file:
            file.write(data)
