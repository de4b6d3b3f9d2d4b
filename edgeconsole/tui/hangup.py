"""What becomes of the console when its terminal goes away: a closed window, a lost SSH connection."""

from __future__ import annotations

import signal


def end_with_terminal() -> None:
    """Have the kernel's hang-up signal end this process, also where it inherits that it is ignored.

    Under `nohup` and the like a console would go on without a terminal, reading its end again and
    again with half a core.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
