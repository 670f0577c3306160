"""A node whose clock is wrong: `python -m tests.acceptance.skewed_node --home DIR --seconds 600`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

from lingqu.cli import main
from lingqu.kinds import clock

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    clock.now = lambda: clock.written(datetime.now(UTC) + timedelta(seconds=options.seconds))
    raise SystemExit(main(["serve", "--home", options.home]))
