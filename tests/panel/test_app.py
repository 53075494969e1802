"""The way of a rater and of the owner through the pages, without script."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from panel.pairs import ABOUT, PAIRS, pair
from panel.site import PASSWORD, Visitor, action, opened, owned, tokens
from understudy.panel.records import Claim
from understudy.panel.store import SCRYPT, Store

MODELS = ("student", "teacher", "better", "worse", "fitting", "misplaced")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setitem(SCRYPT, "n", 2)  # passwords are dear on purpose
    with closing(opened(tmp_path)) as made:
        yield made


def rows(store: Store) -> list[dict[str, Any]]:
    return list(store.rows())


def test_an_invitation_says_what_is_asked_and_recorded(store: Store) -> None:
    visitor = Visitor(store)
    for protocol, words in (("hurried", "first impression"), ("checking", "mark each sentence")):
        page = visitor.get(f"/join/{store.invite(protocol, protocol)[1]}").text
        assert words in page
        assert "What is recorded" in page
        assert "temperature" in page
        assert "0.7" in page
        assert ">Begin<" in page
    assert rows(store) == []
    assert all(rater.total == 0 for rater in store.raters())


def test_a_rater_goes_through_and_mends(store: Store) -> None:
    rater = Visitor(store)
    rater.join("Ann")
    first = rater.get("/rate").text
    assert "<h1>Pair 1 <small>of 8</small></h1>" in first
    assert "/previous" not in first
    assert (
        rater.rate("left_much", comment="so it is", active_ms="1500").headers["location"] == "/rate"
    )
    second = rater.get("/rate").text
    assert "Pair 2 <small>of 8" in second
    back = rater.get(rater.get(f"{action(second)}/previous").headers["location"]).text
    assert action(back) == action(first)
    assert re.search(r'value="left_much"[^>]* checked', back)
    assert "so it is</textarea>" in back
    rater.post(action(back), data={"csrf": tokens(back)[0], "choice": "cannot"})
    assert [row["choice"] for row in rows(store)] == ["cannot"]
    assert "pair 2 of 8" in rater.get("/pause").text
    for _ in range(7):
        assert rater.get("/done").headers["location"] == "/rate"
        rater.rate()
    assert rater.get("/rate").headers["location"] == "/done"
    assert "All rated" in rater.get("/done").text
    assert len(rows(store)) == 8


def test_the_place_is_found_again_by_link_and_by_cookie(store: Store) -> None:
    rater = Visitor(store)
    link = rater.join("Ann")
    rater.rate()
    place = action(rater.get("/rate").text)
    cookies = dict(rater.cookies)
    again = Visitor(store)
    assert again.get("/rate").status_code == 401
    again.cookies.update(cookies)
    assert action(again.get("/rate").text) == place
    elsewhere = Visitor(store)
    page = elsewhere.get(link).text
    assert "You have rated 1 of 8 pairs" in page
    assert ">Continue<" in page
    elsewhere.submit(link, link)
    assert action(elsewhere.get("/rate").text) == place


def test_a_checking_rater_marks_sentences(store: Store) -> None:
    rater = Visitor(store)
    rater.join("Ann", "checking")
    page = rater.get("/rate").text
    assert "Reference" in page
    assert "What is known of" in page
    assert 'name="left.0"' in page
    assert 'name="right.0"' in page
    fields = {"csrf": tokens(page)[0], "choice": "right", "left.0": "wrong", "right.0": "unsure"}
    rater.post(action(page), data=fields)
    row = rows(store)[0]
    claims = [Claim.model_validate(claim) for claim in row["claims"]]
    assert claims == [
        Claim(side="left", sentence=0, mark="wrong"),
        Claim(side="right", sentence=0, mark="unsure"),
    ]
    again = rater.get(action(page)).text
    assert re.search(r'name="left.0" value="wrong"[^>]* checked', again)


def test_a_hurried_rater_gets_neither_reference_nor_marks(store: Store) -> None:
    rater = Visitor(store)
    rater.join("Ann")
    page = rater.get("/rate").text
    assert "Reference" not in page
    assert "What is known" not in page
    assert "left.0" not in page
    rater.rate(**{"left.0": "wrong"})
    assert rows(store)[0]["claims"] == []


def test_the_sides_are_those_that_are_kept(store: Store) -> None:
    rater = Visitor(store)
    rater.join("Ann")
    shown = []
    for _ in range(8):
        page = rater.get("/rate").text
        a, b = (
            re.sub("<[^>]*>", "", found).strip()
            for found in re.findall(r'<div class="answer" dir="auto">(.*?)</div>', page, re.DOTALL)
        )
        shown.append((a, b))
        rater.rate()
    assert shown == [(row["left_text"], row["right_text"]) for row in rows(store)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"choice": "best"},
        {"choice": "left", "active_ms": "-1"},
        {"choice": "left", "active_ms": "1e3"},
        {"choice": "left", "active_ms": "9" * 5000},
        {"choice": "left", "comment": "x" * 2001},
        {"choice": "left", "left.1000": "wrong"},
        {"choice": "left", "left.0": "false"},
        {"choice": "left", "middle.0": "wrong"},
        {"choice": "left", "rater": "1"},
    ],
)
def test_a_form_that_is_not_ours_is_turned_down(store: Store, fields: dict[str, str]) -> None:
    rater = Visitor(store)
    rater.join("Ann", "checking")
    page = rater.get("/rate").text
    answer = rater.post(action(page), data={"csrf": tokens(page)[0]} | fields)
    assert answer.status_code == 422
    assert "could not be read" in answer.text
    assert rows(store) == []


def test_what_a_browser_makes_of_text_is_undone(store: Store) -> None:
    rater = Visitor(store)
    rater.join("Ann")
    rater.rate(comment=" one\r\ntwo\x00\u202e ", active_ms=str(10**9))
    row = rows(store)[0]
    assert row["comment"] == "one\ntwo"
    assert row["active_seconds"] == 86_400


def test_nothing_says_which_model_is_which(tmp_path: Path) -> None:
    """Texts apart, what a rater gets does not hold a word of the assignment."""
    store = owned(Store(str(tmp_path / "panel.sqlite")))
    texts = {
        "texts": ("One text.", "Another text."),
        "messages": ({"role": "user", "content": "A question?"},),
    }
    named = [
        one.model_copy(update=texts | {"item": f"zq-{number}", "reference": None})
        for number, one in enumerate(PAIRS)
    ]
    store.set_up(named, ABOUT, 0)
    other = Visitor(store)
    other.join("Somebody Else", "checking")
    other.rate("right_much", comment="seen by nobody else")
    rater = Visitor(store)
    link = rater.join("Ann", "checking")
    seen = [rater.get(link), rater.get("/pause")]
    for _ in range(8):
        seen.append(rater.get("/rate"))
        seen.append(rater.rate())
    seen += [rater.get("/done"), rater.get("/owner"), rater.get("/owner/live")]
    hidden = [*MODELS, "zq-", "Somebody", "right_much&", "seen by nobody", "attention", "gold"]
    for answer in seen:
        told = f"{answer.headers} {answer.text}".replace("check attention", "")
        for words in ("is better", "A better", "B better", "much better", "like better"):
            told = told.replace(words, "")
        assert not [word for word in hidden if word in told]
        assert "etag" not in answer.headers
    kinds = {tuple(sorted(answer.headers)) for answer in seen if answer.url.path == "/rate"}
    assert len(kinds) == 1


def test_another_raters_pair_is_like_one_that_is_not(store: Store) -> None:
    ann, bob = Visitor(store), Visitor(store)
    ann.join("Ann")
    bob.join("Bob")
    page = bob.get("/rate").text
    of_ann = action(ann.get("/rate").text)
    for path in (of_ann, "/rate/none", "/rate/none/previous", f"{of_ann}/previous"):
        assert bob.get(path).status_code == 404
        assert bob.get(path).text == bob.get("/rate/other").text
    for path in (of_ann, "/rate/none"):
        data = {"csrf": tokens(page)[0], "choice": "left"}
        assert bob.post(path, data=data).status_code == 404
    assert rows(store) == []


def test_an_invitation_that_ended_ends_its_session(store: Store) -> None:
    rater = Visitor(store)
    link = rater.join("Ann")
    owner = Visitor(owned(store))
    owner.log_in()
    assert owner.submit("/owner/raters/1/revoke", "/owner").headers["location"] == "/owner"
    assert rater.get("/rate").status_code == 401
    assert rater.get(link).status_code == 404
    assert "ended" in owner.get("/owner").text


def test_the_owner_logs_in_and_out(store: Store) -> None:
    owner = Visitor(store)
    assert "no password yet" in owner.get("/owner/login").text
    owned(store)
    assert owner.get("/owner").headers["location"] == "/owner/login"
    assert owner.log_in("guess").status_code == 403
    assert owner.get("/owner/live").status_code == 401
    assert owner.log_in().headers["location"] == "/owner"
    assert owner.get("/owner").status_code == 200
    cookies = dict(owner.cookies)
    assert owner.submit("/owner/logout", "/owner").headers["location"] == "/owner/login"
    owner.cookies.update(cookies)
    assert owner.get("/owner/live").status_code == 401
    assert PASSWORD not in owner.get("/owner/login").text


def test_the_owner_invites(store: Store) -> None:
    owner = Visitor(owned(store))
    owner.log_in()
    answer = owner.submit("/owner/raters", "/owner", name=" Ann ", protocol="checking")
    assert answer.status_code == 201
    link = re.search(r'href="(/join/[^"]+)"', answer.text)
    assert link
    assert link[1] not in owner.get("/owner").text
    rater = Visitor(store)
    assert "Invitation for <bdi>Ann</bdi>" in rater.get(link[1]).text
    again = owner.submit("/owner/raters", "/owner", name="Ann", protocol="hurried")
    assert again.status_code == 409
    assert "Ann was invited already" in again.text


@pytest.mark.parametrize("choice", ["left", "cannot"])
def test_the_owners_page_bears_few_ratings(store: Store, choice: str) -> None:
    before, after, rater = Visitor(owned(store)), Visitor(store), Visitor(store)
    before.log_in()
    assert "Nothing is rated yet" in before.get("/owner").text
    rater.join("Ann", "checking")
    for _ in range(8):
        rater.rate(choice, **{"left.0": "wrong"})
    after.log_in()
    page = after.get("/owner").text
    assert "8 ratings, 1 of 1 raters have begun" in page


def test_the_owner_sees_ratings_and_takes_them_elsewhere(store: Store, tmp_path: Path) -> None:
    for name in ("Ann", "Bob"):
        rater = Visitor(store)
        rater.join(name, "checking")
        for _ in range(8):
            rater.rate(comment="=1+1", **{"left.0": "wrong"})
    owner = Visitor(owned(store))
    owner.log_in()
    page = owner.get("/owner").text
    assert "16 ratings, 2 of 2 raters have begun" in page
    assert "student" in page
    assert "Krippendorff" in page
    assert owner.get("/owner/live").json()["ratings"] == 16
    jsonl = owner.get("/owner/export.jsonl")
    assert [json.loads(line)["rater"] for line in jsonl.text.splitlines()] == ["Ann"] * 8 + [
        "Bob"
    ] * 8
    assert jsonl.headers["content-disposition"] == 'attachment; filename="ratings.jsonl"'
    elsewhere = Store(str(tmp_path / "other.sqlite"))
    elsewhere.set_up(PAIRS, ABOUT, 0)
    other = Visitor(owned(elsewhere))
    other.log_in()
    for content in (owner.get("/owner/export.csv").content, jsonl.content):
        data = {"csrf": other.token("/owner")}
        answer = other.post("/owner/import", data=data, files={"file": ("ratings", content)})
        assert answer.status_code == 200
    assert "0 new ratings" in answer.text
    assert [row | {"rated_at": ""} for row in rows(elsewhere)] == [
        row | {"rated_at": ""} for row in rows(store)
    ]
    elsewhere.close()


def test_a_file_that_is_no_export_is_turned_down_in_words(store: Store) -> None:
    owner = Visitor(owned(store))
    owner.log_in()
    for content, words in ((b"\xff", "not UTF-8"), (b"{}\n", "row 1"), (b"a,b\n1,2\n", "columns")):
        data = {"csrf": owner.token("/owner")}
        answer = owner.post("/owner/import", data=data, files={"file": ("<b>x</b>", content)})
        assert answer.status_code == 422
        assert words in answer.text
        assert "<b>x" not in answer.text


def test_several_turns_are_told_apart(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "panel.sqlite"))
    turns = [
        ("system", "Be brief."),
        ("user", "Hi *there*"),
        ("assistant", "*Hello*"),
        ("user", "?"),
    ]
    messages = [{"role": role, "content": content} for role, content in turns]
    store.set_up([pair("one", messages=messages)], {"title": "x"}, 0)
    rater = Visitor(store)
    rater.join("Ann")
    page = rater.get("/rate").text
    assert re.findall(r'<h3 class="role">(\w+)</h3>', page) == [
        "Instructions",
        "User",
        "Assistant",
        "User",
    ]
    assert "Hi *there*" in page
    assert "<em>Hello</em>" in page
    store.close()


def test_addresses_that_lead_nowhere_say_so(store: Store) -> None:
    visitor = Visitor(store)
    for path in (
        "/nowhere",
        "/static/none.js",
        "/static/..%2fapp.py",
        "/join/short",
        "/openapi.json",
    ):
        answer = visitor.get(path)
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text
    assert visitor.delete("/rate").status_code == 405
    assert visitor.get("/").status_code == 200
    assert visitor.get("/health").text == "ok"
    assert visitor.get("/static/rate.js").headers["content-type"].startswith("text/javascript")
