"""What Alembic runs: the revisions, within the transaction that `schema` has begun."""

from alembic import context

from understudy.panel.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
