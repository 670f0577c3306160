"""A node whose workers hold before they look at what they have found, while the pipe `hold` lies in its home.

`python -m tests.node.held_comparison --home DIR` is the node; it starts its workers by this file, too.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lingqu.engine import worker
from lingqu.engine.supervisor import Supervisor
from lingqu.node import serve
from lingqu.pir.client import Client
from lingqu.psi.heard import Heard
from lingqu.psi.unbalanced.session import Derived


def held(plain: Callable[..., Any]) -> Callable[..., Any]:
    """The function, once the pipe has a writer, or at once where there is no pipe."""

    def waits(*arguments: Any) -> Any:
        with contextlib.suppress(FileNotFoundError):
            (Path.cwd().parents[1] / "hold").read_bytes()  # a worker's folder is jobs/<job> in the home
        return plain(*arguments)

    return waits


if __name__ == "__main__":
    if "--worker" in sys.argv:
        for kind, name in ((Heard, "compare"), (Derived, "found"), (Client, "_open")):
            setattr(kind, name, held(getattr(kind, name)))
        worker.main()
    Supervisor.__init__.__defaults__ = ((sys.executable, str(Path(__file__).absolute()), "--worker"),)
    raise SystemExit(serve.main())
