"""What a node remembers, as tables; documents are kept as their canonical JSON or as signed tokens."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UseState(StrEnum):
    """A reserved use of a contract: spent at the gate before the reveal, freed when the job ends before it."""

    RESERVED = "reserved"
    SPENT = "spent"
    FREED = "freed"


class JobState(StrEnum):
    ADMITTING = "admitting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


ENDED = (JobState.DONE.value, JobState.FAILED.value, JobState.REFUSED.value)


class PeerState(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class User(Base):
    __tablename__ = "users"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str] = mapped_column(String(256))  # argon2id
    created: Mapped[str] = mapped_column(String(20))


class Token(Base):
    """A login; only the token's SHA-256 is kept."""

    __tablename__ = "tokens"
    digest: Mapped[str] = mapped_column(String(71), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name", ondelete="CASCADE"))
    created: Mapped[str] = mapped_column(String(20))
    expires: Mapped[str] = mapped_column(String(20))


class Peer(Base):
    """How far the pairing with a peer is; its party and certificate are pinned in the home's `peers`."""

    __tablename__ = "peers"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    comparison: Mapped[str] = mapped_column(String(32))
    here: Mapped[bool] = mapped_column(default=False)  # confirmed by this node's manager
    there: Mapped[bool] = mapped_column(default=False)  # confirmed by the peer's manager
    created: Mapped[str] = mapped_column(String(20))

    @property
    def state(self) -> PeerState:
        return PeerState.CONFIRMED if self.here and self.there else PeerState.PENDING


class Registration(Base):
    """One of this node's own tables: where its rows are and what they looked like when it was registered."""

    __tablename__ = "tables"
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text)


class Listed(Base):
    """The catalogue: own assets and peers', each with its owner's signature."""

    __tablename__ = "catalogue"
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    owner: Mapped[str] = mapped_column(String(32), index=True)
    asset: Mapped[str] = mapped_column(Text)
    token: Mapped[str] = mapped_column(Text)


class Agreement(Base):
    """A contract's terms with the proposer's signature."""

    __tablename__ = "contracts"
    id: Mapped[str] = mapped_column(String(71), primary_key=True)
    terms: Mapped[str] = mapped_column(Text)
    token: Mapped[str] = mapped_column(Text)
    created: Mapped[str] = mapped_column(String(20))


class Decision(Base):
    """A party's signed approval, rejection or revocation of a contract."""

    __tablename__ = "decisions"
    contract: Mapped[str] = mapped_column(ForeignKey("contracts.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    party: Mapped[str] = mapped_column(String(32), primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    token: Mapped[str] = mapped_column(Text)


class Refusal(Base):
    """What this node refused, under which term."""

    __tablename__ = "refusals"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    contract: Mapped[str | None] = mapped_column(String(71), index=True)
    job: Mapped[str | None] = mapped_column(String(32))
    party: Mapped[str] = mapped_column(String(32))  # who refused
    term: Mapped[str] = mapped_column(String(64))
    cause: Mapped[str] = mapped_column(Text)
    at: Mapped[str] = mapped_column(String(20))


class Use(Base):
    """One use of a contract by one job."""

    __tablename__ = "uses"
    job: Mapped[str] = mapped_column(String(32), primary_key=True)
    contract: Mapped[str] = mapped_column(ForeignKey("contracts.id"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    __table_args__ = (CheckConstraint("state in ('reserved', 'spent', 'freed')", name="state"),)


class Job(Base):
    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    contract: Mapped[str] = mapped_column(ForeignKey("contracts.id"), index=True)
    plan: Mapped[str] = mapped_column(String(71))
    coordinator: Mapped[str] = mapped_column(String(32))
    user: Mapped[str | None] = mapped_column(String(64))  # the analyst, at the coordinator only
    offer: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), index=True)
    steps: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    created: Mapped[str] = mapped_column(String(20))
    started: Mapped[str | None] = mapped_column(String(20))
    ended: Mapped[str | None] = mapped_column(String(20))
    __table_args__ = (CheckConstraint("state in ('admitting', 'running', 'done', 'failed', 'refused')", name="state"),)


class Result(Base):
    """A released result; one a job, for ever."""

    __tablename__ = "releases"
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    plan: Mapped[str | None] = mapped_column(Text)  # by which the numbers are read; None where an older version ran it
    digest: Mapped[str] = mapped_column(String(71))
    at: Mapped[str] = mapped_column(String(20))


class Account(Base):
    """A party's signed receipt of a job."""

    __tablename__ = "receipts"
    job: Mapped[str] = mapped_column(String(32), primary_key=True)
    party: Mapped[str] = mapped_column(String(32), primary_key=True)
    token: Mapped[str] = mapped_column(Text)


class LedgerEntry(Base):
    __tablename__ = "ledger"
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry: Mapped[str] = mapped_column(Text)


class Note(Base):
    """A signed checkpoint: of this node's own log, or of a peer's as this node saw it."""

    __tablename__ = "checkpoints"
    origin: Mapped[str] = mapped_column(String(128), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    note: Mapped[str] = mapped_column(Text)


class Witnessed(Base):
    """The size of the last checkpoint of this node that a peer cosigned."""

    __tablename__ = "witnessed"
    party: Mapped[str] = mapped_column(String(32), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)


class Seen(Base):
    """The replay window: ids of messages already taken."""

    __tablename__ = "seen"
    jti: Mapped[str] = mapped_column(String(64), primary_key=True)
    issuer: Mapped[str] = mapped_column(String(32))
    iat: Mapped[int] = mapped_column(BigInteger, index=True)


class Outgoing(Base):
    """A message that must reach a peer, kept until it has."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    peer: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(32))
    content: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(71))
    __table_args__ = (UniqueConstraint("peer", "digest", name="uq_outbox_peer_digest"), Index("ix_outbox_peer", "peer"))
