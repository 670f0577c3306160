"""The program `lingqu`: its verbs, and what each way to end looks like from outside."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
import typer.core

from lingqu.cli import nodes, record, work

if TYPE_CHECKING:
    from lingqu.kinds.errors import LingquError

FAILED, USAGE, REFUSED, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 130, 141

app = typer.Typer(
    name="lingqu",
    help="Compute on everyone's data together while every row stays at home.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a contract or a right, 4 verification failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)

for group in (nodes, work, record):
    for verb in group.VERBS:
        app.command(name=verb.__name__.rstrip("_"))(verb)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"lingqu {version('lingqu')}\n")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Compute on everyone's data together while every row stays at home."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; errors are told, never traced back.

    0 done; 1 failed; 2 wrong usage; 3 refused by a contract term or a right; 4 a bundle does not verify;
    130 interrupted; 141 the reader of the output left.  With --json an error is one JSON document on standard error.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    try:
        code = _run(given, as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code


def _run(given: list[str], as_json: bool) -> int:
    from lingqu.kinds.errors import LingquError, Refused

    try:
        code = app(given, prog_name="lingqu", standalone_mode=False)
    except LingquError as error:
        _tell(error, as_json)
        return REFUSED if isinstance(error, Refused) else FAILED
    except typer.Abort:
        sys.stderr.write("Stopped.\n")
        return FAILED
    except SystemExit:  # typer's and rich's way to leave when nobody reads the output any more
        return BROKEN_PIPE
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        _tell(
            LingquError(f"{error.filename or 'The system'}: {error.strerror}.", "Check the path and the disk."), as_json
        )
        return FAILED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _usage(error, as_json)
    if code == INTERRUPTED:
        sys.stderr.write("Interrupted.\n")
    return code if isinstance(code, int) else 0


def _usage(error: Exception, as_json: bool) -> int:
    message = str(error.format_message())  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if as_json:
        document = {"code": "usage", "cause": message, "cure": "See `lingqu --help`.", "term": None, "party": None}
        sys.stderr.write(json.dumps(document, ensure_ascii=False) + "\n")
        return USAGE
    path = context.command_path if context is not None else "lingqu"
    if message:
        sys.stderr.write(f"{message}\nSee `{path} --help`.\n")
    return USAGE


def _tell(error: LingquError, as_json: bool) -> None:
    if as_json:
        sys.stderr.write(json.dumps(error.document(), ensure_ascii=False) + "\n")
        return
    from rich.console import Console

    from lingqu.cli import show

    Console(stderr=True, highlight=False, markup=False).print(show.error(error))
