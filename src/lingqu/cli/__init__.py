"""The command line: `lingqu --help`."""

from lingqu.cli.app import main

__all__ = ["main"]
