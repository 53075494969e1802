"""What all tests of talks use."""

from pathlib import Path

import pytest

from chat.students import train_student


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model directory of a student that ends its answers."""
    return train_student(tmp_path_factory.mktemp("student"))
