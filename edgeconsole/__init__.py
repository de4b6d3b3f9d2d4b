"""EdgeConsole: run AI on a fleet of edge devices from a terminal.

This package imports neither program: `edgeconsole.runtime` is the agent, `edgeconsole.tui` the
console, and `edgeconsole.client` what an application imports.
"""

__version__ = "0.1.0"
