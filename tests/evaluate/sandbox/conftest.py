"""The kinds of sandbox for this system; tests of those that do not work here are skipped."""

import sys

import pytest

from understudy.evaluate import sandbox
from understudy.evaluate.sandbox.kinds import KINDS

HERE = [kind for kind in KINDS if (kind == "sandbox-exec") == (sys.platform == "darwin")]


@pytest.fixture(scope="session", params=HERE)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind that works here."""
    if not sandbox._holds(request.param):
        pytest.skip(f"{request.param} does not work on this machine")
    return str(request.param)
