"""Places for a panel: each test that asks for a `place` runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from panel.pairs import ABOUT, PAIRS
from understudy.panel.store import Store


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
