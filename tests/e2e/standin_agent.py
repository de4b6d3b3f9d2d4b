"""An agent whose optimiser is `standin_optimizer.py`; started like `edgeconsole-agent`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from edgeconsole.runtime import agent, cli

if __name__ == "__main__":
    optimizer = str(Path(__file__).with_name("standin_optimizer.py"))
    agent.EdgeIntelligentAgent = partial(  # type: ignore[assignment, misc]
        agent.EdgeIntelligentAgent, optimizer=(optimizer,)
    )
    sys.exit(cli.main())
