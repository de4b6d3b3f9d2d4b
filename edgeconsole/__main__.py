"""`python -m edgeconsole`: the same as `edgeconsole`."""

import sys

from edgeconsole.cli import main

sys.exit(main())
