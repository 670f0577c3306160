"""The catalogue: this node's registered tables and what its peers publish, each under its owner's signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lingqu.catalog import describe, open_source
from lingqu.engine.worker import LocalTable
from lingqu.kinds.errors import BadInput, Refused, Tampered
from lingqu.kinds.schema import Asset, AssetUse, ColumnType, Grade
from lingqu.ledger import Registered
from lingqu.node.core import Core
from lingqu.node.errors import Conflict
from lingqu.node.journal import Journal
from lingqu.node.messages import AssetPublished
from lingqu.node.outbox import Tell
from lingqu.node.store.models import Listed, Registration


class Catalogue:
    """Assets by id and version.  tell: queues a message for a peer."""

    def __init__(self, core: Core, journal: Journal, tell: Tell) -> None:
        self._core = core
        self._journal = journal
        self._tell = tell

    def register(
        self,
        *,
        name: str,
        title: str,
        source: str,
        grade: Grade,
        key: Sequence[str] = (),
        types: Mapping[str, ColumnType] | None = None,
    ) -> Asset:
        """Register a table, or its next version, and publish it to the confirmed peers.

        BadInput says what is wrong with the table, Unavailable that its database is away; nothing is published then.
        """
        identifier = f"{self._core.name}/{name}"
        with self._core.store.read() as session:
            version = 1 + (session.scalar(select(func.max(Listed.version)).where(Listed.id == identifier)) or 0)
        asset, fingerprint = describe(
            open_source(source),
            owner=self._core.name,
            name=name,
            title=title,
            grade=grade,
            version=version,
            types=types,
            key=key,
        )
        token = self._core.sign(asset)
        with self._core.store.write() as session:
            if session.get(Registration, (asset.id, asset.version)) is not None:
                raise Conflict(f"{asset.id} was registered by somebody else just now.", "Register it again.")
            session.add(Registration(id=asset.id, version=version, source=source, fingerprint=fingerprint))
            self._list(session, asset, token)
            for peer in self._core.confirmed():
                self._tell(session, peer, AssetPublished(token=token))
        return asset

    def publish_to(self, peer: str) -> None:
        """Send a peer every own asset; those that it has already change nothing there."""
        with self._core.store.write() as session:
            own = select(Listed.token).where(Listed.owner == self._core.name).order_by(Listed.id, Listed.version)
            for token in session.scalars(own).all():
                self._tell(session, peer, AssetPublished(token=token))

    def receive(self, peer: str, token: str) -> None:
        """List a peer's asset; Tampered when it is another owner's, or another document of the same version."""
        asset = self._core.evidence(token, Asset, peer).document
        assert isinstance(asset, Asset)
        if asset.owner != peer:
            raise Tampered(f"{peer} published a table of {asset.owner}.", "Only owners publish.", party=peer)
        with self._core.store.write() as session:
            known = session.get(Listed, (asset.id, asset.version))
            if known is None:
                self._list(session, asset, token)
            elif Asset.parse(known.asset).sha256() != asset.sha256():
                raise Tampered(
                    f"{peer} published two tables as {asset.id}, version {asset.version}.",
                    "Ask its manager.",
                    party=peer,
                )

    def assets(self) -> dict[str, Asset]:
        """The latest version of every asset of this node and its confirmed peers, by id."""
        owners = {self._core.name, *self._core.confirmed()}
        with self._core.store.read() as session:
            rows = session.scalars(select(Listed).order_by(Listed.id, Listed.version)).all()
        return {row.id: Asset.parse(row.asset) for row in rows if row.owner in owners}

    def agreed(self, uses: Iterable[AssetUse]) -> dict[str, Asset]:
        """Exactly the versions that a contract names, from this node's own catalogue; Refused "assets" otherwise."""
        found = {}
        with self._core.store.read() as session:
            for use in uses:
                row = session.get(Listed, (use.id, use.version))
                asset = Asset.parse(row.asset) if row else None
                if asset is None or asset.sha256() != use.digest:
                    raise Refused(
                        f"{self._core.name} does not know {use.id}, version {use.version}, as the contract has it.",
                        f"Ask {use.id.partition('/')[0]} to publish it to {self._core.name}, then try again.",
                        term="assets",
                    )
                found[use.id] = asset
        return found

    def local(self, uses: Iterable[AssetUse]) -> dict[str, LocalTable]:
        """What this node's worker needs of its own tables."""
        tables = {}
        with self._core.store.read() as session:
            for use in uses:
                row = session.get(Registration, (use.id, use.version))
                listed = session.get(Listed, (use.id, use.version))
                if row is not None and listed is not None:
                    asset = Asset.parse(listed.asset)
                    tables[use.id] = LocalTable(source=row.source, asset=asset, fingerprint=row.fingerprint)
        return tables

    def checked_types(self, types: Mapping[str, str]) -> dict[str, ColumnType]:
        """Column types by their names; BadInput for one that does not exist."""
        try:
            return {column: ColumnType(kind) for column, kind in types.items()}
        except ValueError as error:
            raise BadInput(f"{error}.", f"Types are {', '.join(kind.value for kind in ColumnType)}.") from None

    def _list(self, session: Session, asset: Asset, token: str) -> None:
        document = asset.canonical().decode()
        session.add(Listed(id=asset.id, version=asset.version, owner=asset.owner, asset=document, token=token))
        if asset.owner == self._core.name:
            body = Registered(asset=asset.id, version=asset.version, digest=asset.sha256(), token=token)
            self._journal.append(session, body)
