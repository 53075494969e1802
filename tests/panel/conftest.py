"""Places for a panel: each test that asks for a `place` runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from panel.pairs import ABOUT, PAIRS
from teacher.postgres import own_schema, server
from understudy.panel.store import Store


@pytest.fixture(scope="session")
def postgres_server() -> str:
    address = server()
    if address is None:
        pytest.skip("no PostgreSQL: install it, or name a server in UNDERSTUDY_POSTGRES")
    return address


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The address of an empty place in a PostgreSQL server."""
    with own_schema(postgres_server) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a panel may be made."""
    if request.param == "sqlite":
        return str(tmp_path / "new" / "panel.sqlite")
    return request.getfixturevalue("postgres")


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    """A panel of twelve pairs, a gold pair and an attention check, six pairs for each rater."""
    made = Store(place)
    made.set_up(PAIRS, ABOUT, 0)
    yield made
    made.close()
