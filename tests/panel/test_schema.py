"""The app against its own schema: requests drawn from it, as a stranger and as one signed in."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode, checks

from panel.site import Visitor, action, opened, owned
from understudy.panel.security import Limits, Pace
from understudy.panel.store import SCRYPT, Store

NO_END = Pace(10**9, 60.0)
UNLIMITED = Limits(NO_END, NO_END, NO_END, NO_END, NO_END, NO_END)
EXAMPLES = 10  # of each operation, of right requests and of wrong ones
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setitem(SCRYPT, "n", 2)  # passwords are dear on purpose
    with closing(owned(opened(tmp_path))) as made:
        yield made


def test_the_schema_tells_who_may_ask(store: Store) -> None:
    paths = Visitor(store).app.openapi()["paths"]
    assert len(paths) == 18
    for path, methods in paths.items():
        for operation in methods.values():
            raters, owners = path in ("/pause", "/done"), path.startswith("/owner")
            raters |= path.startswith("/rate")
            who = [{"rater": []}] if raters else [{"owner": []}] if owners else None
            assert operation.get("security") == (who if path != "/owner/login" else None), path


@pytest.mark.parametrize("signed_in", [False, True])
def test_requests_drawn_from_the_schema(store: Store, signed_in: bool) -> None:
    visitor = Visitor(store, limits=UNLIMITED)
    visitor.join("Ann", "checking")
    visitor.log_in()
    visitor.app.add_api_route("/openapi.json", visitor.app.openapi, include_in_schema=False)
    schema = schemathesis.openapi.from_asgi("/openapi.json", visitor.app)

    mine = action(visitor.get("/rate").text)

    def sign_in(case: Case) -> None:
        """Make of a request one of the rater's or the owner's own."""
        case.cookies = dict(visitor.cookies)
        if isinstance(case.body, dict) and "csrf" in case.body:
            pages = ("/owner/login", "/owner", mine)
            page = next((page for page in pages if case.path.startswith(page)), mine)
            case.body["csrf"] = visitor.token(page)
        if case.path.startswith("/rate/"):
            case.path_parameters = {"id": mine.removeprefix("/rate/")}

    for found in schema.get_all_operations():
        operation = found.ok()
        if signed_in and operation.path in ("/owner/logout", "/join/{token}"):
            continue  # they end the session that the others need
        right = operation.as_strategy(GenerationMode.POSITIVE)
        wrong = operation.as_strategy(GenerationMode.NEGATIVE)

        @settings(
            max_examples=2 * EXAMPLES,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=right | wrong)
        def ask(case: Case) -> None:
            if signed_in:
                sign_in(case)
            case.call_and_validate(checks=CHECKS)

        ask()
    if not signed_in:
        assert list(store.rows()) == []
        assert len(store.raters()) == 1
