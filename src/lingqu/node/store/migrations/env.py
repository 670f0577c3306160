"""How Alembic reaches the connection that `Store.migrate` opened."""

from alembic import context

from lingqu.node.store.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
