"""Run a node: `python -m lingqu.node.serve --home DIR`, which `lingqu serve` does too."""

from __future__ import annotations

import argparse
import asyncio
import logging
import logging.handlers
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from lingqu.engine.worker import forbid_core_dumps
from lingqu.kinds.errors import LingquError, Unavailable
from lingqu.node.api import build
from lingqu.node.config import Home
from lingqu.node.node import Node
from lingqu.node.peer_api import MAX_REQUESTS, PinningProtocol

LOG = logging.getLogger("lingqu.node")
LOG_BYTES = 10 << 20
STOP_SECONDS = 2
RECORDING = (
    "RECORDING: every message of this node's jobs, shares and names among them, is written in the clear to {folder}. "
    "This is for tests only: remove `record` from config.toml and delete that folder before real data is used."
)


class Listening(threading.Thread):
    """One uvicorn server in a thread of its own."""

    def __init__(self, name: str, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(name=name, daemon=True)
        self._server = uvicorn.Server(config)
        self._listener = listener

    def run(self) -> None:
        """Serve until `stop`."""
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def stop(self) -> None:
        """Take no more requests; those under way have some seconds."""
        self._server.should_exit = True


def serve(home: Home, ready: Callable[[Node], None] | None = None, stop: threading.Event | None = None) -> None:
    """Run a node until SIGTERM or SIGINT, or until `stop` is set.

    ready: called once both ports answer.  Unavailable when a port is in use or the home is taken, BadInput for a
    configuration that cannot be used; nothing runs then.
    """
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    forbid_core_dumps()
    handler = _logging(home)
    node = Node(home)
    servers: list[Listening] = []
    try:
        servers = _servers(node)
        node.start()
        for server in servers:
            server.start()
        LOG.info("%s serves its people at %s", node.core.name, node.core.config.api.port)
        if ready is not None:
            ready(node)
        if node.core.config.record:
            warning = RECORDING.format(folder=node.core.config.record)
            LOG.warning(warning)
            print(f"lingqu: {warning}", file=sys.stderr, flush=True)
        stop.wait()
    finally:
        for server in servers:
            server.stop()
        node.end()
        for server in servers:
            if server.is_alive():
                server.join(STOP_SECONDS)
        node.close()
        logging.getLogger("lingqu").removeHandler(handler)
        handler.close()


def _servers(node: Node) -> list[Listening]:
    config = node.core.config
    api_socket = _bound(config.api.host, config.api.port, "api.port")
    try:
        peer_socket = _bound(config.peer.host, config.peer.port, "peer.port")
    except LingquError:
        api_socket.close()
        raise
    common: dict[str, Any] = {
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "lifespan": "off",
        "ws": "none",
        "timeout_graceful_shutdown": STOP_SECONDS,
    }
    api = uvicorn.Config(
        build(node),
        ssl_keyfile=config.api.tls_key or None,
        ssl_certfile=config.api.tls_certificate or None,
        http="h11",
        **common,
    )
    peer = uvicorn.Config(node.peer_api, http=PinningProtocol, limit_concurrency=MAX_REQUESTS, **common)
    peer.load()
    peer.ssl = node.tls
    return [Listening("api", api, api_socket), Listening("peer", peer, peer_socket)]


def _bound(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"Port {port} of {host} cannot be listened on: {error.strerror}.",
            f"Stop what uses it, or set another {setting} in config.toml.",
        ) from None
    return listener


def _logging(home: Home) -> logging.Handler:
    """Everything of this package goes to <home>/node.log; the libraries' loggers stay silent below warnings."""
    try:
        os.close(os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        handler = logging.handlers.RotatingFileHandler(home.log, maxBytes=LOG_BYTES, backupCount=3, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{home.log} cannot be written: {error.strerror}.", "Run `lingqu init` first.") from None
    os.chmod(home.log, 0o600)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger("lingqu")
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    root.propagate = False
    return handler


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; prints one line once the node serves."""
    parser = argparse.ArgumentParser(prog="python -m lingqu.node.serve", description="Run a Lingqu node.")
    parser.add_argument("--home", type=Path, required=True)
    home = Home(parser.parse_args(arguments).home)
    try:
        serve(home, ready=lambda node: print(f"{node.core.name} is up", flush=True))
    except LingquError as error:
        print(f"lingqu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
