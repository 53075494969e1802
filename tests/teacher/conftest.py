"""Places for ledgers: each test that asks for a `place` runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from teacher.postgres import own_schema, server


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
    """Where a ledger may be made."""
    if request.param == "sqlite":
        return str(tmp_path / "new" / "ledger.sqlite")
    return request.getfixturevalue("postgres")
