"""Fixtures for the tests of curation."""

from pathlib import Path

import pytest

from train.tiny_models import gpt2_like


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    gpt2_like().save_pretrained(folder)
    return folder
