"""Point 9: every node's bundle verifies with public keys only, and anything altered does not."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lingqu.identity import NodeKey
from lingqu.ledger import Log, MemoryStore, export, verify
from lingqu.ledger.bundle import Bundle, read
from scenarios.census.network import CIVIL, HUMAN, LINGQU, Network
from scenarios.census.story import Story


def show_proof(story: Story, net: Network, before: dict[str, bytes]) -> None:
    """Export and verify each node's bundle alone and all together; then altered ones, and a cheating node's.

    before: the bundles from before the analyst's node was modified; of that one only this is an honest account.
    """
    bundles = {name: net[name].remote("auditor").export() for name in net.signers} | {net.asker: before[net.asker]}
    for name, bundle in bundles.items():
        report = verify([bundle])
        said = str(report).splitlines()[-1]
        story.check(f"{name}: bundle of {len(bundle):,} bytes, checked offline. {said}", report.ok)
        for failure in report.failures:
            story.say(f"    {failure}")
    honest = before if net.asker == HUMAN else bundles
    story.check("the two owners' accounts agree with each other", verify([honest[CIVIL], honest[HUMAN]]).ok)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "civil-affairs.bundle"
        file.write_bytes(bundles[CIVIL])
        done = subprocess.run([*LINGQU, "verify", str(file)], capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        said = next((line.partition(":")[0] for line in lines if line.startswith(("Everything", "NOT"))), "no verdict")
        story.check(f"`lingqu verify {file.name}` ends with {done.returncode}: {said}", done.returncode == 0)
    for what, altered in alterations(bundles[CIVIL]):
        failures = verify([altered]).failures
        story.check(f"{what} is found: {failures[0] if failures else 'nothing'}", bool(failures))
    rewritten = rewrite(bundles[CIVIL], NodeKey.load(net[CIVIL].home / "keys" / "node.pem"))
    failures = verify([rewritten, bundles[HUMAN]]).failures
    story.check(
        "a history that civil-affairs itself rewrote and signed anew, beside human-resources' account, is found: "
        f"{failures[0] if failures else 'nothing'}",
        bool(failures),
    )
    failures = verify([net[net.asker].remote("auditor").export()]).failures
    story.check(
        f"the modified node's own bundle gives it away: {failures[0] if failures else 'nothing'}", bool(failures)
    )


def alterations(bundle: bytes) -> Iterator[tuple[str, bytes]]:
    """A flipped bit, a dropped entry, and two entries in another order."""
    flipped = bytearray(bundle)
    flipped[len(flipped) // 2] ^= 1
    yield "a flipped bit", bytes(flipped)
    lines = bundle.split(b"\n")
    yield "a dropped entry", b"\n".join(lines[:4] + lines[5:])
    yield "two entries in another order", b"\n".join([*lines[:4], lines[5], lines[4], *lines[6:]])


def rewrite(bundle: bytes, key: NodeKey) -> bytes:
    """A bundle of the same party without its refusals, consistent in itself and signed with its own key."""
    honest = read(bundle)
    assert isinstance(honest, Bundle)
    log = Log(MemoryStore(), honest.head.party, key)
    for index in honest.order:
        entry = honest.entries[index]
        if entry.kind != "refuse":
            log.append(entry.content(), entry.at)
    return export(log, honest.head.keys, honest.head.exported)
