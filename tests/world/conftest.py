"""A teacher that runs for the tests of a file."""

from collections.abc import Iterator

import pytest

from understudy.recipe import TeacherSettings
from understudy.world.server import running_teacher
from world.asking import WORLD, Client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    log = tmp_path_factory.mktemp("teacher") / "new" / "log.jsonl"
    with running_teacher(WORLD, TeacherSettings(), log) as teacher:
        yield Client(teacher, log)
