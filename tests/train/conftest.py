"""Fixtures of the training tests."""

import pytest


@pytest.fixture(params=["gpt2", "llama"])
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)
