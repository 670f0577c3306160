"""A node, and its workers, whose portions of correlations are small: so that little tables take several of them.

`python -m tests.node.small_portions --home DIR` is the node; it starts its workers by this file, too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lingqu.engine import worker
from lingqu.engine.supervisor import Supervisor
from lingqu.node import serve, supplies
from lingqu.share.two import supplies as portions

SMALL = 30_000

if __name__ == "__main__":
    portions.PORTION = SMALL
    if "--worker" in sys.argv:
        worker.main()
    supplies.IDLE_SECONDS = 0.5
    Supervisor.__init__.__defaults__ = ((sys.executable, str(Path(__file__).absolute()), "--worker"),)
    raise SystemExit(serve.main())
