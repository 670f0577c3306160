"""Verbs that set up a node, its users, its peers and its tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lingqu.cli.session import (
    HomeOption,
    JsonOption,
    Session,
    UserOption,
    YesOption,
    default_home,
    pairs,
)

if TYPE_CHECKING:
    from lingqu.kinds.parties import Role
    from lingqu.node.config import Config
    from lingqu.node.node import Node

API_PORT, PEER_PORT = 7401, 7402
RoleName = Literal["owner", "manager", "analyst", "auditor"]


def init(
    name: Annotated[str, typer.Option("--name", help="The organisation's stable name: a-z, 0-9 and -.")],
    title: Annotated[str | None, typer.Option(help="What people call it.", show_default="the name")] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where other nodes reach this one.", show_default="the loopback"),
    ] = None,
    peer_port: Annotated[int, typer.Option(help="Port for other nodes, when --address names none.")] = PEER_PORT,
    api_port: Annotated[int, typer.Option(help="Port for this node's own people, on the loopback.")] = API_PORT,
    stream_ports: Annotated[
        str, typer.Option(metavar="FIRST-LAST", help="Ports of running jobs.", show_default="any free")
    ] = "0-0",
    store: Annotated[
        str, typer.Option(metavar="URL", help="postgresql://user@host/database", show_default="SQLite in the home")
    ] = "",
    people: Annotated[
        list[str] | None, typer.Option("--user", metavar="NAME:ROLE", help="Repeat.", show_default="one for each role")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(hidden=True, help="For tests: record the traffic in the clear.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a node: its directory, keys, database and users.

    The users' passwords are printed once and stored nowhere.
    """
    from lingqu.node.config import Home, initialise

    session = Session(home, as_json)
    place = Home((session.home or default_home()).expanduser())
    config = _config(name, title or name, address, peer_port, api_port, stream_ports, store, record)
    users = _people(people or [f"{role}:{role}" for role in ("owner", "manager", "analyst", "auditor")])
    passwords = initialise(place, config, users)
    document = {
        "home": str(place.path),
        "name": name,
        "address": config.peer.address,
        "api": f"http://{config.api.host}:{config.api.port}",
        "users": [{"name": user, "role": role.value, "password": passwords[user]} for user, role in users],
    }
    from lingqu.cli import show

    session.give(document, *show.made(document))


def _config(
    name: str,
    title: str,
    address: str | None,
    peer_port: int,
    api_port: int,
    stream_ports: str,
    store: str,
    record: Path | None,
) -> Config:
    """The node's settings; a node that others reach listens on every interface, its jobs on the named host."""
    from pydantic import ValidationError

    from lingqu.kinds.errors import BadInput
    from lingqu.node.config import ApiConfig, Config, PeerConfig, StreamConfig

    host, colon, port = (address or f"127.0.0.1:{peer_port}").rpartition(":")
    first, _, last = stream_ports.partition("-")
    try:
        if not colon:
            host, port = port, str(peer_port)
        listening = int(port)
        local = host in ("127.0.0.1", "localhost")
        return Config(
            name=name,
            title=title,
            store=store,
            record=str(record.absolute()) if record else "",
            api=ApiConfig(port=api_port),
            peer=PeerConfig(host=host if local else "0.0.0.0", port=listening, address=f"{host}:{listening}"),  # noqa: S104
            stream=StreamConfig(host=host, first=int(first), last=int(last or first)),
        )
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first_error["loc"])
        raise BadInput(f"{place}: {first_error['msg']}.", "Correct that option; see `lingqu init --help`.") from None
    except ValueError:
        raise BadInput(
            "A port is no number.", "Write --address HOST:PORT, and --stream-ports as FIRST-LAST, 7410-7449."
        ) from None


def _people(texts: list[str]) -> list[tuple[str, Role]]:
    from lingqu.kinds.parties import Role

    found = []
    for text in texts:
        name, _, role = text.partition(":")
        if role not in set(Role):
            raise typer.BadParameter(f"{text!r} is not NAME:ROLE; roles: {', '.join(Role)}", param_hint="--user")
        found.append((name, Role(role)))
    return found


def serve(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Run the node until it is told to stop (Ctrl-C or SIGTERM)."""
    from lingqu.kinds.errors import Unavailable
    from lingqu.node.config import Home
    from lingqu.node.serve import serve as run

    session = Session(home, as_json)
    place = Home((session.home or default_home()).expanduser())
    if not place.path.is_dir():
        raise Unavailable(
            f"There is no node in {place.path}.", f"Make one: lingqu init --name NAME --home {place.path}"
        )

    def ready(node: Node) -> None:
        config = node.core.config
        api = f"http{'s' if config.api.tls_certificate else ''}://{config.api.host}:{config.api.port}"
        session.give(
            {"name": node.core.name, "api": api, "address": config.peer.address},
            f"{show.safe(config.title)} ({node.core.name}) is up: its people at {api}, other nodes at "
            f"{show.safe(config.peer.address)}. Ctrl-C stops it.",
        )
        sys.stdout.flush()

    from lingqu.cli import show

    run(place, ready)


def node(home: HomeOption = None, as_json: JsonOption = False, user: UserOption = None) -> None:
    """Show this node and the peers it is paired with."""
    session = Session(home, as_json, user)
    view = session.remote.node()
    from lingqu.cli import show

    session.give(view, show.node(view))


def login(
    name: Annotated[str, typer.Argument(help="The user.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Log in with a password and keep the new token in the node's directory.

    The password is asked for, or read as one line from standard input.
    """
    import os

    from lingqu.node.remote import Remote

    session = Session(home, as_json)
    place = session.node_home
    with Remote.at(place) as remote:
        view = remote.login(name, _password(confirm=False))
    file = place.path / "tokens" / f"{name}.token"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as writer:
        writer.write(view.token + "\n")
    session.give(
        {"user": name, "role": view.role, "expires": view.expires, "token_file": str(file)},
        f"{name} ({view.role}) is logged in until {view.expires}; the token is kept in {file}.",
    )


def user(
    name: Annotated[str, typer.Argument(help="The new user.")],
    role: Annotated[RoleName, typer.Option("--role", help="What the user may do.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    acting: UserOption = None,
) -> None:
    """Add a user to this node; the password is asked for, or read as one line from standard input."""
    session = Session(home, as_json, acting, role="manager")
    view = session.remote.add_user(name, role, _password(confirm=True))
    session.give(view, f"{view.name} may now log in as {view.role}: `lingqu login {view.name}`.")


def invite(
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="How long the code is good.")] = 15,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Print a code that pairs one other node with this one.

    Give it to the other side over a way that you trust: who has it can ask to pair, once.
    """
    session = Session(home, as_json, user, role="manager")
    view = session.remote.invite(minutes)
    session.whole(view.code)
    session.give(view, f"Good once, until {view.expires}. The other side enters: lingqu join CODE")


def join(
    code: Annotated[str, typer.Argument(help="The code that the other side printed; - reads it from standard input.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Pair with the node whose invitation code you were given."""
    session = Session(home, as_json, user, role="manager")
    view = session.remote.join(sys.stdin.readline().strip() if code == "-" else code)
    from lingqu.cli import show

    session.give(view, show.pairing(view))


def confirm(
    name: Annotated[str, typer.Argument(help="The peer.")],
    comparison: Annotated[
        str | None, typer.Option("--comparison", help="The digits that the other side reads to you.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    yes: YesOption = False,
    user: UserOption = None,
) -> None:
    """Confirm a pairing after comparing the digits that both sides show."""
    session = Session(home, as_json, user, role="manager")
    from lingqu.cli import show
    from lingqu.kinds.errors import BadInput

    if comparison is None:
        peer = next((peer for peer in session.remote.node().peers if peer.name == name), None)
        if peer is None or peer.comparison is None:
            raise BadInput(f"No pairing with {name!r} waits here.", "See `lingqu node`; pair with `lingqu join`.")
        if not as_json:
            session.notes.print(show.pairing(peer))
        session.confirm("Does the other side show the same digits?", yes)
        comparison = peer.comparison
    view = session.remote.confirm(name, comparison)
    waiting = "" if view.state == "confirmed" else " The other side has yet to confirm."
    session.give(view, f"{view.title} ({view.name}) is {view.state}.{waiting}")


def register(
    name: Annotated[str, typer.Argument(help="The table's name in the catalogue.")],
    source: Annotated[
        str, typer.Argument(help="file.csv, file.parquet, or postgresql://user@host/database#schema.table")
    ],
    title: Annotated[str | None, typer.Option(help="What people call it.", show_default="the name")] = None,
    grade: Annotated[
        Literal["general", "important", "core"], typer.Option(help="Its grade under GB/T 43697.")
    ] = "general",
    key: Annotated[
        list[str] | None, typer.Option("--key", help="A key column, unique together with other --key.")
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="COLUMN=TYPE", help="bool, int, real, string or date.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Register a table: peers see its columns, row count and a profile, never a row."""
    session = Session(home, as_json, user, role="manager")
    if "://" not in source:
        source = str(Path(source).expanduser().resolve())
    asset = session.remote.register(
        name, source, title=title or name, grade=grade, key=key or (), types=pairs(types or (), "--type")
    )
    from lingqu.cli import show

    session.give(asset, show.asset(asset))


def _password(*, confirm: bool) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True))
    return sys.stdin.readline().rstrip("\r\n")


VERBS = (init, serve, node, login, user, invite, join, confirm, register)
