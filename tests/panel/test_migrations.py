"""What the migrations make is what the tables say, and only known databases are opened."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from panel.pairs import ABOUT, PAIRS, rate_all
from understudy.errors import UserError
from understudy.panel.schema import VERSION_TABLE, metadata, open_engine
from understudy.panel.store import Store


def test_migrations_and_tables_agree(place: str) -> None:
    engine = open_engine(place)
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    assert found == []


def test_opening_again_changes_nothing(store: Store, place: str) -> None:
    rate_all(store, store.invite("Ann", "hurried")[0])
    rows = list(store.rows())
    again = Store(place)
    assert list(again.rows()) == rows
    again.close()


def test_a_newer_database_is_refused_and_left_alone(store: Store, place: str) -> None:
    rate_all(store, store.invite("Ann", "hurried")[0])
    with store._writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(UserError, match="made by a newer understudy"):
        Store(place)
    assert len(list(store.rows())) == 8


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    """The tables and the version appear together or not at all."""
    from alembic import op

    made = op.create_table

    def failing(name, *columns, **more):
        if name == "panel_sessions":
            raise UserError("the power is gone")
        return made(name, *columns, **more)

    path = tmp_path / "panel.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(op, "create_table", failing)
        with pytest.raises(UserError, match="the power is gone"):
            Store(str(path))
    store = Store(str(path))
    store.set_up(PAIRS, ABOUT, 0)
    store.close()
