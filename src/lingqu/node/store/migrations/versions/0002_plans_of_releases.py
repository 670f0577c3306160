"""The plan stays with the release: a model can be read after its tables were registered again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("releases", sa.Column("plan", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("releases", "plan")
