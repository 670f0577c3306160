"""The first tables"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogue",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_catalogue")),
    )
    op.create_index(op.f("ix_catalogue_owner"), "catalogue", ["owner"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("origin", sa.String(length=128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "size", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "contracts",
        sa.Column("id", sa.String(length=71), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("created", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contracts")),
    )
    op.create_table(
        "ledger",
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("index", name=op.f("pk_ledger")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("peer", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("peer", "digest", name="uq_outbox_peer_digest"),
    )
    op.create_index("ix_outbox_peer", "outbox", ["peer"], unique=False)
    op.create_table(
        "peers",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("comparison", sa.String(length=32), nullable=False),
        sa.Column("here", sa.Boolean(), nullable=False),
        sa.Column("there", sa.Boolean(), nullable=False),
        sa.Column("created", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_peers")),
    )
    op.create_table(
        "receipts",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", "party", name=op.f("pk_receipts")),
    )
    op.create_table(
        "refusals",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("contract", sa.String(length=71), nullable=True),
        sa.Column("job", sa.String(length=32), nullable=True),
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("term", sa.String(length=64), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusals")),
    )
    op.create_index(op.f("ix_refusals_contract"), "refusals", ["contract"], unique=False)
    op.create_table(
        "seen",
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=32), nullable=False),
        sa.Column("iat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_seen")),
    )
    op.create_index(op.f("ix_seen_iat"), "seen", ["iat"], unique=False)
    op.create_table(
        "tables",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_tables")),
    )
    op.create_table(
        "users",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password", sa.String(length=256), nullable=False),
        sa.Column("created", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_users")),
    )
    op.create_table(
        "witnessed",
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("party", name=op.f("pk_witnessed")),
    )
    op.create_table(
        "decisions",
        sa.Column("contract", sa.String(length=71), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["contract"], ["contracts.id"], name=op.f("fk_decisions_contract")),
        sa.PrimaryKeyConstraint("contract", "kind", "party", name=op.f("pk_decisions")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("contract", sa.String(length=71), nullable=False),
        sa.Column("plan", sa.String(length=71), nullable=False),
        sa.Column("coordinator", sa.String(length=32), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=True),
        sa.Column("offer", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created", sa.String(length=20), nullable=False),
        sa.Column("started", sa.String(length=20), nullable=True),
        sa.Column("ended", sa.String(length=20), nullable=True),
        sa.CheckConstraint(
            "state in ('admitting', 'running', 'done', 'failed', 'refused')", name=op.f("ck_jobs_state")
        ),
        sa.ForeignKeyConstraint(["contract"], ["contracts.id"], name=op.f("fk_jobs_contract")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_contract"), "jobs", ["contract"], unique=False)
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("created", sa.String(length=20), nullable=False),
        sa.Column("expires", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_tokens_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_tokens")),
    )
    op.create_table(
        "uses",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("contract", sa.String(length=71), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.CheckConstraint("state in ('reserved', 'spent', 'freed')", name=op.f("ck_uses_state")),
        sa.ForeignKeyConstraint(["contract"], ["contracts.id"], name=op.f("fk_uses_contract")),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_uses")),
    )
    op.create_index(op.f("ix_uses_contract"), "uses", ["contract"], unique=False)
    op.create_table(
        "releases",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_releases_job")),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_releases")),
    )


def downgrade() -> None:
    op.drop_table("releases")
    op.drop_index(op.f("ix_uses_contract"), table_name="uses")
    op.drop_table("uses")
    op.drop_table("tokens")
    op.drop_index(op.f("ix_jobs_state"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_contract"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("decisions")
    op.drop_table("witnessed")
    op.drop_table("users")
    op.drop_table("tables")
    op.drop_index(op.f("ix_seen_iat"), table_name="seen")
    op.drop_table("seen")
    op.drop_index(op.f("ix_refusals_contract"), table_name="refusals")
    op.drop_table("refusals")
    op.drop_table("receipts")
    op.drop_table("peers")
    op.drop_index("ix_outbox_peer", table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("ledger")
    op.drop_table("contracts")
    op.drop_table("checkpoints")
    op.drop_index(op.f("ix_catalogue_owner"), table_name="catalogue")
    op.drop_table("catalogue")
