"""Fixtures and options that every test may use."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # a core each; libraries read it when they are loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from teacher.postgres import own_schema, server

# The same examples in every run, however slow the machine: a failure is the change's own.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")

MUST_END_S = 120


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.fixture(autouse=True)
def _ctrl_c() -> None:
    """Python's own handling of Ctrl-C, which a shell's background jobs start without, and which
    polars replaces by one that does not wake who waits for a lock."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def must_end() -> Iterator[None]:
    """Fails a test that has not come to its end after minutes where it takes a blink."""

    def fail(*_: object) -> None:
        pytest.fail(f"it goes on after {MUST_END_S} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(MUST_END_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of published files that UNDERSTUDY_DATA names; skips where there is none."""
    folder = os.environ.get("UNDERSTUDY_DATA")
    if not folder:
        pytest.skip("UNDERSTUDY_DATA names no folder of published data")
    return Path(folder)


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The address of a PostgreSQL server; skips where there is none."""
    address = server()
    if address is None:
        pytest.skip("no PostgreSQL: install it, or name a server in UNDERSTUDY_POSTGRES")
    return address


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The address of an empty place in a PostgreSQL server."""
    with own_schema(postgres_server) as address:
        yield address
