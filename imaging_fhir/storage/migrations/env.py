"""Alembic runs this for each command, with the connection that `upgrade` opened and locked."""

from alembic import context

from imaging_fhir.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
