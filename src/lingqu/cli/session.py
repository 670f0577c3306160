"""What every verb shares: its options, the connection it speaks through, and how it prints.

Heavy modules are imported inside functions here and in the verbs, so that `lingqu --help` is quick.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from lingqu.kinds.programs import Parameter, Program, Value
    from lingqu.node.remote import Home, Remote
    from lingqu.node.replies import ContractView, JobView

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", envvar="LINGQU_HOME", help="The node's directory.", show_default="~/.lingqu"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
UserOption = Annotated[
    str | None, typer.Option("--as", metavar="USER", help="The user to act as.", show_default="fits the verb")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

DIGEST = re.compile(r"(sha256:)?[0-9a-f]{1,64}")
Named = TypeVar("Named")
JOB = re.compile(r"[0-9a-f]{1,32}")


def default_home() -> Path:
    """The home directory when neither --home nor LINGQU_HOME names one."""
    return Path.home() / ".lingqu"


@dataclass
class Session:
    """One verb's run: where the node is, who asks, and how to print.

    role: the role whose token is used unless --as names a user (the first users are named for their roles).
    """

    home: Path | None
    as_json: bool
    user: str | None = None
    role: str = "analyst"

    @cached_property
    def node_home(self) -> Home:
        """The node's home directory."""
        from lingqu.node.remote import Home

        return Home((self.home or default_home()).expanduser())

    @cached_property
    def remote(self) -> Remote:
        """The connection to the node, as the chosen user."""
        from lingqu.node.remote import Remote

        return Remote.at(self.node_home, self.user or self.role)

    @cached_property
    def console(self) -> Console:
        """Standard output."""
        from rich.console import Console

        return Console(highlight=False, markup=False, soft_wrap=False)

    @cached_property
    def notes(self) -> Console:
        """Standard error: progress and remarks, never the answer."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, markup=False)

    def give(self, document: Any, *renderables: RenderableType) -> None:
        """Print the answer: the document as JSON with --json, otherwise what people read."""
        if self.as_json:
            print_json(document)
            return
        for renderable in renderables:
            self.console.print(renderable)

    def whole(self, text: str) -> None:
        """Print a line that people copy, unbroken however narrow the terminal is."""
        if not self.as_json:
            self.console.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a remark to standard error, for people only."""
        if not self.as_json:
            self.notes.print(text, style="dim")

    def confirm(self, question: str, yes: bool) -> None:
        """Ask before something is signed; a usage error where nobody can answer."""
        if yes:
            return
        if self.as_json or not sys.stdin.isatty():
            raise typer.BadParameter("nobody can be asked here; read the terms, then add --yes", param_hint="--yes")
        typer.confirm(question, abort=True, err=True)

    def contract(self, text: str) -> ContractView:
        """The contract of an id or of the unique beginning of one."""
        digest = text.removeprefix("sha256:")
        if len(digest) == 64:
            return self.remote.contract(f"sha256:{digest}")
        return _only(
            text, DIGEST, [v for v in self.remote.contracts() if v.id.removeprefix("sha256:").startswith(digest)]
        )

    def job(self, text: str) -> JobView:
        """The job of an id or of the unique beginning of one."""
        if len(text) == 32:
            return self.remote.job(text)
        return _only(text, JOB, [view for view in self.remote.jobs() if view.id.startswith(text)])


def _only(text: str, pattern: re.Pattern[str], found: list[Named]) -> Named:
    from lingqu.kinds.errors import BadInput

    if not pattern.fullmatch(text):
        raise BadInput(
            f"{text!r} is no id.", "Copy one from `lingqu contracts` or `lingqu jobs`; its beginning will do."
        )
    if not found:
        raise BadInput(
            f"Nothing here has an id that begins with {text!r}.", "Look at `lingqu contracts` or `lingqu jobs`."
        )
    if len(found) > 1:
        raise BadInput(f"{len(found)} ids begin with {text!r}.", "Give more of it.")
    return found[0]


def print_json(document: Any) -> None:
    """One JSON document and a line feed on standard output; characters beyond ASCII stay readable."""
    text = json.dumps(plain(document), ensure_ascii=False, indent=2)
    if (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8":
        text = json.dumps(plain(document), indent=2)
    sys.stdout.write(text + os.linesep if os.linesep == "\n" else text + "\n")


def plain(value: Any) -> Any:
    """JSON-ready form of views, documents and collections of them."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def text_of(argument: str) -> str:
    """An argument's text: itself, `@file`, or `-` for standard input."""
    from lingqu.kinds.errors import BadInput

    if argument == "-":
        return sys.stdin.read()
    if not argument.startswith("@"):
        return argument
    try:
        return Path(argument[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{argument[1:]} cannot be read: {error.strerror}.", "Check the path.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{argument[1:]} is not UTF-8 text.", "Save it as UTF-8.") from None


def pairs(options: Iterable[str], hint: str) -> dict[str, str]:
    """`name=value` options as a mapping; a usage error for anything else or a name given twice."""
    found: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name or name in found:
            raise typer.BadParameter(f"{option!r} is not name=value, once a name", param_hint=hint)
        found[name] = value
    return found


def value_of(text: str) -> Value:
    """A bound value: true, false, a number, or else a string; quotes make a string of anything."""
    if text in ("true", "false"):
        return text == "true"
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def bindings_of(options: Iterable[str]) -> dict[str, Value]:
    """`--param lo=30` options as bindings."""
    return {name: value_of(value) for name, value in pairs(options, "--param").items()}


def parameters_of(options: Iterable[str]) -> dict[str, Parameter]:
    """`--param lo=18..90` (limits) or `--param level=a|b` (permitted values) options as a template's open places."""
    from lingqu.kinds.programs import Parameter

    found = {}
    for name, text in pairs(options, "--param").items():
        lower, dots, upper = text.partition("..")
        if dots:
            low, high = value_of(lower), value_of(upper)
            if isinstance(low, bool | str) or isinstance(high, bool | str):
                raise typer.BadParameter(f"{text!r} are not two numbers", param_hint="--param")
            found[name] = Parameter(lower=low, upper=high)
        else:
            found[name] = Parameter(allowed=tuple(value_of(part) for part in text.split("|")))
    return found


def sql_program(argument: str, limits: Iterable[str] = ()) -> Program:
    """A SQL program from an argument and its --param limits."""
    from lingqu.kinds.errors import BadInput
    from lingqu.kinds.programs import Program

    text = text_of(argument).strip().removesuffix(";").rstrip()
    if not text:
        raise BadInput("The query is empty.", "Write a SELECT, or @file to read one.")
    return Program(kind="sql", text=text, parameters=parameters_of(limits))


def train_program(path: Path) -> Program:
    """A training program from a specification file."""
    from lingqu.kinds.programs import Program
    from lingqu.ml import TrainSpec

    return Program(kind="train", text=TrainSpec.parse(_bytes(path)).canonical().decode())


def intersect_program(path: Path) -> Program:
    """An intersection from a specification file."""
    from lingqu.intersect import IntersectSpec
    from lingqu.kinds.programs import Program

    return Program(kind="intersect", text=IntersectSpec.parse(_bytes(path)).canonical().decode())


def lookup_program(path: Path) -> Program:
    """A lookup from a specification file."""
    from lingqu.kinds.programs import Program
    from lingqu.lookup import LookupSpec

    return Program(kind="lookup", text=LookupSpec.parse(_bytes(path)).canonical().decode())


def _bytes(path: Path) -> bytes:
    from lingqu.kinds.errors import BadInput

    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
