"""Alembic's migrations of the panel's database: one file a revision in `versions/`."""
