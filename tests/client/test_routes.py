"""Every route that the client calls stands in the node's own OpenAPI document, with the same method."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lingqu.cli import main
from lingqu.node.api import build, described
from lingqu.node.config import Home
from lingqu.node.node import Node


def test_the_fake_node_and_the_real_one_have_the_same_routes(fake: Any, tmp_path: Path) -> None:
    place = tmp_path / "node"
    assert main(["init", "--name", "big-data", "--user", "li:analyst", "--home", str(place), "--json"]) == 0
    node = Node(Home(place))
    try:
        paths = described(build(node))["paths"]
    finally:
        node.close()
    real = {(verb.upper(), re.sub(r"\{\w+\}", "x", path)) for path, verbs in paths.items() for verb in verbs}
    made = {(verb, re.sub(r"\([^)]*\)", "x", pattern)) for verb, pattern, _ in fake.routes()}
    assert made == real - {("GET", "/v1/openapi.json")}
