"""Who gets in, how often, with how much; what every answer carries."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from panel.site import PASSWORD, Visitor, action, opened, owned, tokens
from understudy.panel import security
from understudy.panel.security import HEADERS, Limits, Pace, Paced, client_of
from understudy.panel.store import SCRYPT, Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setitem(SCRYPT, "n", 2)  # passwords are dear on purpose
    with closing(opened(tmp_path)) as made:
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that have passed, to be moved on."""
    now = [1000.0]
    monkeypatch.setattr(security.time, "monotonic", lambda: now[0])
    return now


def test_every_answer_carries_the_headers(store: Store) -> None:
    visitor = Visitor(owned(store))
    link = visitor.join("Ann")
    visitor.log_in()
    paths = [
        link,
        "/",
        "/rate",
        "/pause",
        "/done",
        "/rate/none",
        "/nowhere",
        "/owner",
        "/owner/live",
    ]
    paths += ["/owner/login", "/owner/export.jsonl", "/owner/export.csv", "/health"]
    answers = [visitor.get(path) for path in paths]
    answers += [visitor.post("/rate/x"), visitor.put("/rate"), visitor.post("/owner/login")]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (answer.url, name)
        assert "strict-transport-security" not in answer.headers
    static = visitor.get("/static/panel.css")
    assert static.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in static.headers["cache-control"]
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_pages_hold_no_script_or_style_of_their_own(store: Store) -> None:
    visitor = Visitor(owned(store))
    link = visitor.join("Ann", "checking")
    visitor.log_in()
    for path in (link, "/", "/rate", "/pause", "/owner", "/owner/login", "/nowhere"):
        page = visitor.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://(?!panel)", page)
        assert all("src=" in tag for tag in re.findall("<script[^>]*>", page))


@pytest.mark.parametrize("secure", [False, True])
def test_cookies(store: Store, secure: bool) -> None:
    visitor = Visitor(owned(store), secure=secure)
    link = f"/join/{store.invite('Ann', 'hurried')[1]}"
    answers = [visitor.get(link), visitor.submit(link, link), visitor.log_in()]
    cookies = [cookie for one in answers for cookie in one.headers.get_list("set-cookie")]
    assert len(cookies) == 3
    for cookie in cookies:
        assert cookie.startswith("__Host-understudy-" if secure else "understudy-")
        assert ("Secure" in cookie) is secure
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert ("strict-transport-security" in answers[0].headers) is secure


def test_what_a_host_header_says_goes_nowhere(store: Store) -> None:
    owner = Visitor(owned(store))
    owner.log_in()
    page = owner.get("/owner", headers={"host": "evil.example"}).text
    data = {"csrf": tokens(page)[0], "name": "Ann", "protocol": "hurried"}
    answer = owner.post("/owner/raters", data=data, headers={"host": "evil.example"})
    assert answer.status_code == 201
    assert "evil" not in answer.text + str(answer.headers)


def test_forms_need_their_sessions_token(store: Store) -> None:
    ann, bob = Visitor(owned(store)), Visitor(store)
    ann.join("Ann")
    link = bob.join("Bob")
    ann.log_in()
    place = action(ann.get("/rate").text)
    forged = ["", "x", "é", "0" * 64, bob.token("/rate"), ann.token("/owner"), ann.token(link)]
    for token in forged:
        answer = ann.post(place, data={"csrf": token, "choice": "left"})
        assert answer.status_code in (403, 422), token
    for path, fields in (
        ("/owner/raters", {"name": "Eve", "protocol": "hurried"}),
        ("/owner/raters/1/revoke", {}),
        ("/owner/logout", {}),
    ):
        for token in (bob.token("/rate"), ann.token("/rate"), ann.token(link)):
            assert ann.post(path, data={"csrf": token} | fields).status_code == 403
    file = {"file": ("x", b"")}
    assert ann.post("/owner/import", data={"csrf": "x"}, files=file).status_code == 403
    for path, fields in ((link, {}), ("/owner/login", {"password": PASSWORD})):
        for token in (bob.token("/rate"), bob.token(link), "x"):
            assert ann.post(path, data={"csrf": token} | fields).status_code == 403
    assert list(store.rows()) == []
    assert [rater.name for rater in store.raters()] == ["Ann", "Bob"]
    assert ann.get("/owner").status_code == 200


def test_a_form_before_a_session_needs_the_visits_cookie(store: Store) -> None:
    visitor = Visitor(owned(store))
    token = visitor.token("/owner/login")
    guesses = [token, *(hashlib.sha256(f"visit {x}".encode()).hexdigest() for x in ("", None))]
    for guess in guesses:
        stranger = Visitor(store)
        data = {"csrf": guess, "password": PASSWORD}
        assert stranger.post("/owner/login", data=data).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"origin": "http://panel.example"}, 303),
        ({"origin": "null"}, 303),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://panel.example.evil.example"}, 403),
        ({"origin": "http://panel.example:81"}, 403),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, 303),
        ({"origin": "null", "sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://panel.example", "sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_other_sites_cannot_post(store: Store, headers: dict[str, str], status: int) -> None:
    rater = Visitor(store)
    rater.join("Ann")
    page = rater.get("/rate").text
    data = {"csrf": tokens(page)[0], "choice": "left"}
    assert rater.post(action(page), data=data, headers=headers).status_code == status


def test_sessions_are_one_kind_each(store: Store) -> None:
    """The rater's secret opens nothing of the owner's, and the other way round."""
    visitor = Visitor(owned(store))
    visitor.join("Ann")
    visitor.log_in()
    rater, owner = (visitor.cookies[f"understudy-{who}"] for who in ("rater", "owner"))
    stranger = Visitor(store)
    stranger.cookies.update({"understudy-owner": rater, "understudy-rater": owner})
    assert stranger.get("/owner/live").status_code == 401
    assert stranger.get("/rate").status_code == 401
    assert stranger.get("/owner/export.csv").status_code == 401


def test_beginning_again_ends_the_session_before(store: Store) -> None:
    rater = Visitor(store)
    link = rater.join("Ann")
    before = rater.cookies["understudy-rater"]
    rater.submit(link, link)
    thief = Visitor(store)
    thief.cookies["understudy-rater"] = before
    assert thief.get("/rate").status_code == 401
    assert rater.get("/rate").status_code == 200


def test_strangers_and_raters_get_nothing_of_the_owners(store: Store) -> None:
    rater = Visitor(owned(store))
    rater.join("Ann")
    rater.rate()
    for path in ("/owner/live", "/owner/export.jsonl", "/owner/export.csv"):
        assert rater.get(path).status_code == 401
    data = {"csrf": rater.token("/rate"), "name": "Eve", "protocol": "hurried"}
    assert rater.post("/owner/raters", data=data).status_code == 401
    assert rater.post("/owner/raters/1/revoke", data=data).status_code in (401, 422)


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_are_bounded(store: Store, chunked: bool) -> None:
    def body(size: int) -> bytes | Iterator[bytes]:
        return iter([b"x" * 1000] * (size // 1000)) if chunked else b"x" * size

    rater = Visitor(store)
    rater.join("Ann")
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = rater.post(action(rater.get("/rate").text), content=body(70_000), headers=form)
    assert answer.status_code == 413
    assert "too large" in answer.text.lower()
    file = {"content-type": "multipart/form-data; boundary=x"}
    upload = rater.post("/owner/import", content=body(70_000), headers=file)
    assert upload.status_code == 401


def test_the_owner_may_send_more_but_not_without_end(store: Store) -> None:
    owner = Visitor(owned(store), limits=Limits(upload=200_000))
    owner.log_in()
    for size, status in ((150_000, 422), (250_000, 413)):
        data = {"csrf": owner.token("/owner")}
        answer = owner.post("/owner/import", data=data, files={"file": ("x", b"x" * size)})
        assert answer.status_code == status


def test_the_password_cannot_be_tried_for_long(store: Store, clock: list[float]) -> None:
    owner = Visitor(owned(store), limits=Limits(logins=Pace(2, 1)))
    assert [owner.log_in("guess").status_code for _ in range(3)] == [403, 403, 429]
    refused = owner.log_in()
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "61"
    assert "too often" in refused.text
    clock[0] += 61
    assert owner.log_in().status_code == 303


def test_links_cannot_be_guessed_for_long(store: Store) -> None:
    visitor = Visitor(store, limits=Limits(misses=Pace(2, 1)))
    wrong = f"/join/{'a' * 43}"
    assert [visitor.get(wrong).status_code for _ in range(3)] == [404, 404, 429]
    visitor.join("Ann")
    assert visitor.get("/rate").status_code == 200


def test_everybodys_guesses_count_together(store: Store) -> None:
    visitor = Visitor(store, limits=Limits(misses=Pace(9, 1), all_misses=Pace(2, 1)))
    statuses = [visitor.get(f"/join/{'a' * 43}").status_code for _ in range(3)]
    assert statuses == [404, 404, 429]
    owner = Visitor(owned(store), limits=Limits(logins=Pace(9, 1), all_logins=Pace(1, 1)))
    assert [owner.log_in("guess").status_code for _ in range(2)] == [403, 429]


def test_ratings_and_sessions_have_a_pace(store: Store) -> None:
    rater = Visitor(store, limits=Limits(ratings=Pace(2, 1), joins=Pace(2, 1)))
    link = rater.join("Ann")
    assert [rater.rate().status_code for _ in range(3)] == [303, 303, 429]
    assert len(list(store.rows())) == 2
    assert [rater.submit(link, link).status_code for _ in range(2)] == [303, 429]


def test_paced_gives_back_with_time(clock: list[float]) -> None:
    paced = Paced(Pace(burst=2, per_minute=30))
    for _ in range(2):
        paced.take("one")
    with pytest.raises(HTTPException) as refused:
        paced.take("one")
    assert refused.value.headers == {"retry-after": "3"}
    paced.take("another")
    clock[0] += 2
    paced.take("one")
    with pytest.raises(HTTPException):
        paced.check("one")


def test_paced_forgets_who_has_rested(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "MOST_KEYS", 3)
    paced = Paced(Pace(burst=1, per_minute=1))
    for key in range(3):
        paced.take(key)
        clock[0] += 25
    paced.take(3)
    assert set(paced._levels) == {1, 2, 3}


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_clients(host: str, client: str) -> None:
    assert client_of(Request({"type": "http", "client": (host, 1)})) == client
    assert client_of(Request({"type": "http", "client": None})) == ""


def test_a_broken_database_is_an_error_page_without_insides(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rater = Visitor(store)
    rater.join("Ann")

    def broken(*_: object) -> None:
        raise RuntimeError("the secret is 1234")

    monkeypatch.setattr(store, "next_task", broken)
    rater._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    answer = rater.get("/rate")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


def test_a_database_that_fails_is_said_to(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy.errors import UserError

    rater = Visitor(store)
    rater.join("Ann")

    def failing(*_: object) -> None:
        raise UserError("/srv/panel.sqlite: disk I/O error; check the file and its disk")

    monkeypatch.setattr(store, "next_task", failing)
    monkeypatch.setattr(store, "about", failing)
    answer = rater.get("/rate")
    assert answer.status_code == 503
    assert "/srv" not in answer.text
    assert rater.get("/health").status_code == 503


def test_a_rating_after_the_invitation_ended_is_not_kept(store: Store) -> None:
    rater = Visitor(store)
    rater.join("Ann")
    page = rater.get("/rate").text
    store.revoke(1)
    data = {"csrf": tokens(page)[0], "choice": "left"}
    assert rater.post(action(page), data=data).status_code == 401
    assert list(store.rows()) == []
