"""The panel's store, on SQLite and on PostgreSQL."""

import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from panel.pairs import ABOUT, PAIRS, pair, rate_all
from understudy.errors import UserError
from understudy.panel import store as store_module
from understudy.panel.records import Claim, Rater, Rating, Task
from understudy.panel.schema import raters, sessions, settings
from understudy.panel.store import Store
from understudy.teacher.ledger import Ledger


def _next(store: Store, rater: Rater) -> Task:
    task = store.next_task(rater.id)
    assert task is not None
    return task


def test_what_is_set_up_once_stays(store: Store, place: str) -> None:
    store.set_up(PAIRS, ABOUT, 0)
    assert store.about() == ABOUT
    for pairs, about, seed in ((PAIRS[1:], ABOUT, 0), (PAIRS, {}, 0), (PAIRS, ABOUT, 1)):
        with pytest.raises(UserError, match="holds other pairs"):
            store.set_up(pairs, about, seed)


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        ([pair("a"), pair("a", models=("teacher", "student"))], "stands twice"),
        ([pair("a", models=("one", "one"))], "stands twice"),
        ([pair("a" * 301)], "at most 300 characters"),
        ([pair("a", reference="x" * 100_001)], "more than 100000 characters"),
    ],
)
def test_pairs_that_cannot_be_rated_are_refused(
    tmp_path: Path, pairs: list, complaint: str
) -> None:
    store = Store(str(tmp_path / "panel.sqlite"))
    with pytest.raises(UserError, match=complaint):
        store.set_up(pairs, {}, 0)
    assert store.about() == {}
    store.close()


def test_a_rater_rates_everything_and_comes_back(store: Store, place: str) -> None:
    rater, token = store.invite("Ann", "checking")
    assert store.rater_of(token) == rater
    store.begin(rater.id)
    first = _next(store, rater)
    assert (first.position, first.total) == (1, 8)
    assert first.reference
    assert first.rating is None
    said = Rating(
        choice="right", claims=(Claim(side="left", sentence=0, mark="wrong"),), comment="x"
    )
    assert store.rate(rater.id, first.id, said)
    store.close()

    again = Store(place)
    again.begin(rater.id)
    second = _next(again, rater)
    assert second.position == 2
    before = again.previous_task(rater.id, second.id)
    assert before is not None
    assert (before.id, before.rating) == (first.id, said)
    assert again.previous_task(rater.id, first.id) is None
    assert len(rate_all(again, rater)) == 7
    assert again.next_task(rater.id) is None
    (now,) = again.raters()
    assert (now.rated, now.total) == (8, 8)
    assert again.stamp()[0] == 8
    again.close()


def test_a_hurried_rater_gets_no_reference(store: Store) -> None:
    rater, _ = store.invite("Ann", "hurried")
    assert not any(task.reference for task in rate_all(store, rater))


def test_a_rating_said_again_counts_once(store: Store) -> None:
    rater, _ = store.invite("Ann", "hurried")
    store.begin(rater.id)
    task = _next(store, rater)
    assert store.rate(rater.id, task.id, Rating(choice="left", active_ms=900))
    (once,) = store.rows()
    assert store.rate(rater.id, task.id, Rating(choice="right_much", active_ms=50))
    (row,) = store.rows()
    assert row["choice"] == "right_much"
    assert row["active_seconds"] == 0.9
    assert row["seconds"] == once["seconds"]
    assert row["rated_at"] > once["rated_at"]


def test_nobody_rates_or_sees_anothers_tasks(store: Store) -> None:
    ann, _ = store.invite("Ann", "hurried")
    bob, _ = store.invite("Bob", "hurried")
    store.begin(ann.id)
    store.begin(bob.id)
    task = _next(store, ann)
    for id in (task.id, "", "1", "' OR 1=1 --", "x" * 5000):
        assert store.task(bob.id, id) is None
        assert store.previous_task(bob.id, id) is None
        assert not store.rate(bob.id, id, Rating(choice="left"))
    assert list(store.rows()) == []


def test_names_of_tasks_tell_nothing(store: Store) -> None:
    tasks = [
        task
        for name in ("Ann", "Bob")
        for task in rate_all(store, store.invite(name, "hurried")[0])
    ]
    assert len({task.id for task in tasks}) == len(tasks) == 16
    assert all(len(task.id) == 22 for task in tasks)


def test_pairs_are_covered_evenly_and_sides_balanced(store: Store) -> None:
    for number in range(8):
        rate_all(store, store.invite(f"rater {number}", "hurried")[0])
    rows = [row for row in store.rows() if row["kind"] == "pair"]
    left = Counter((row["item"], row["left"]) for row in rows)
    assert set(Counter(row["item"] for row in rows).values()) == {4}
    assert all(left[item, "student"] == left[item, "teacher"] == 2 for item, _ in left)
    checks = [row for row in store.rows() if row["kind"] != "pair"]
    assert Counter(row["kind"] for row in checks) == {"gold": 8, "attention": 8}


def asked(given: list[Task]) -> set[str]:
    return {task.messages[0]["content"] for task in given}


def test_three_raters_of_a_protocol_meet_on_the_same_pairs(store: Store) -> None:
    ann, bob, cid, dan = (rate_all(store, store.invite(n, "hurried")[0]) for n in "abcd")
    eve = rate_all(store, store.invite("e", "checking")[0])
    assert asked(ann) == asked(bob) == asked(cid) == asked(eve)
    assert len(asked(ann) & asked(dan)) == 2, "only the checks are the same"
    assert len(asked(ann) | asked(dan)) == 14
    assert [task.messages for task in ann] != [task.messages for task in bob], "in another order"


def test_what_was_left_alone_for_a_day_counts_for_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, cid, dan = (store.invite(name, "hurried")[0] for name in "abcd")
    for rater in (ann, bob, cid):
        store.begin(rater.id)
    clock = SimpleNamespace(time=lambda: time.time() + 90_000)
    monkeypatch.setattr(store_module, "time", clock)
    given = asked(rate_all(store, dan))
    assert given == asked(rate_all(store, ann)), "as if nobody had them"


def test_an_invitation_that_is_revoked_ends(store: Store) -> None:
    rater, token = store.invite("Ann", "hurried")
    rate_all(store, rater)
    secret, _ = store.open_session(rater.id, 60)
    store.revoke(rater.id)
    assert store.rater_of(token) is None
    assert store.session(secret) is None
    assert store.session(store.open_session(rater.id, 60)[0]) is None
    assert len(list(store.rows())) == 8


@pytest.mark.parametrize("name", ["", "  ", "Ann", " Ann", "x" * 101, "a\nb"])
def test_names_that_are_refused(store: Store, name: str) -> None:
    store.invite("Ann", "hurried")
    with pytest.raises(UserError, match="panel: "):
        store.invite(name, "checking")
    assert len(store.raters()) == 1


def test_sessions_open_and_end(store: Store) -> None:
    rater, _ = store.invite("Ann", "hurried")
    secret, csrf = store.open_session(rater.id, 60)
    assert store.session(secret) == (rater.id, csrf)
    owner, other = store.open_session(None, 60)
    assert store.session(owner) == (None, other)
    assert store.session(store.open_session(rater.id, -1)[0]) is None
    for forged in ("", csrf, secret[:-1], "\0", "\ud800", "' OR 1=1 --"):
        assert store.session(forged) is None
        assert store.rater_of(forged) is None
    store.end_session(secret)
    assert store.session(secret) is None
    assert store.session(owner)


def test_secrets_are_not_kept(store: Store) -> None:
    rater, token = store.invite("Ann", "hurried")
    secret, csrf = store.open_session(rater.id, 60)
    store.set_owner_password("correct horse")
    with store._reading() as connection:
        kept = " ".join(
            str(tuple(row))
            for table in (raters, sessions, settings)
            for row in connection.execute(table.select())
        )
    assert not any(word in kept for word in (token, secret, csrf, "correct horse"))


def test_the_owners_password(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store_module.SCRYPT, "p", 1)
    assert not store.has_owner()
    assert not store.owner_password_right("")
    store.set_owner_password("first")
    owner, _ = store.open_session(None, 60)
    assert store.has_owner()
    assert store.owner_password_right("first")
    store.set_owner_password("second ü")
    assert not store.owner_password_right("first")
    assert store.owner_password_right("second ü")
    assert store.session(owner) is None, "a new password ends the owner's sessions"


def test_many_at_once_lose_nothing(store: Store) -> None:
    """Raters begin and rate at the same time; everything is there once, evenly spread."""
    people = [store.invite(f"rater {number}", "hurried")[0] for number in range(12)]
    together = threading.Barrier(12)

    def work(rater) -> int:
        together.wait()
        store.begin(rater.id)
        count = 0
        while task := store.next_task(rater.id):
            for choice in ("left", "right"):
                assert store.rate(rater.id, task.id, Rating(choice=choice))
            count += 1
        return count

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(work, people)) == [8] * 12
    rows = list(store.rows())
    assert len(rows) == len({(row["rater"], row["item"]) for row in rows}) == 96
    assert {row["choice"] for row in rows} == {"right"}
    assert set(Counter(row["item"] for row in rows if row["kind"] == "pair").values()) == {6}


def test_the_same_rating_sent_twice_at_once_is_one(store: Store) -> None:
    rater, _ = store.invite("Ann", "hurried")
    store.begin(rater.id)
    task = _next(store, rater)
    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(store.rate, rater.id, task.id, Rating(choice="left")) for _ in range(16)
        ]
        assert all(one.result() for one in sent)
    assert len(list(store.rows())) == 1


def test_any_text_can_be_kept(place: str) -> None:
    hostile = "\0 ü 漢 '; DROP TABLE panel_pairs; -- <script>"
    store = Store(place)
    messages = ({"role": "user", "content": hostile},)
    store.set_up([pair(hostile, texts=(hostile, "x"), messages=messages)], {}, 0)
    rater, _ = store.invite("Ann", "hurried")
    store.begin(rater.id)
    said = Rating.model_construct(choice="left", claims=(), comment=hostile + "\ud800")
    store.rate(rater.id, _next(store, rater).id, said)
    (row,) = store.rows()
    kept = hostile.replace("\0", "\ufffd")
    assert row["item"] == kept
    assert {row["left_text"], row["right_text"]} == {kept, "x"}
    assert row["comment"] == kept + "?"
    store.close()


def test_a_committed_rating_is_on_the_disk(tmp_path: Path) -> None:
    """On every connection, whatever was written on it before."""
    store = Store(str(tmp_path / "panel.sqlite"))
    for lazily, level in ((True, 1), (False, 2), (True, 1)):
        with store._writing(lazily=lazily) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    store.close()


def test_postgresql_acknowledges_what_is_on_its_disk(postgres: str) -> None:
    store = Store(postgres)
    for lazily, level in ((True, "off"), (False, "on")):
        with store._writing(lazily=lazily) as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == level
    store.close()


def test_two_processes_may_write(tmp_path: Path) -> None:
    """A writer waits for another process's transaction and loses nothing."""
    path = tmp_path / "panel.sqlite"
    one, other = Store(str(path)), Store(str(path))
    one.set_up(PAIRS, ABOUT, 0)
    one.invite("Ann", "hurried")
    held = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    held.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, held.execute, ["COMMIT"])
    release.start()
    other.invite("Bob", "hurried")
    release.join()
    held.close()
    assert [rater.name for rater in one.raters()] == ["Ann", "Bob"]
    one.close()
    other.close()


def test_other_databases_are_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite"):
        pass
    (tmp_path / "text.sqlite").write_text("no database " * 100, encoding="utf-8")
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE things (name TEXT)")
    before = (tmp_path / "other.sqlite").read_bytes()
    for name, complaint in {
        "ledger": "is no panel's database",
        "other": "is no panel's database",
        "text": "file is not a database",
    }.items():
        with pytest.raises(UserError, match=complaint):
            Store(str(tmp_path / f"{name}.sqlite"))
    assert (tmp_path / "other.sqlite").read_bytes() == before
    with pytest.raises(UserError, match="unable to open"):
        Store(str(tmp_path))


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("postgresql://me:secret@localhost/x", "holds a password"),
        ("postgresql://me@localhost/x?password=secret", "holds a password"),
        ("postgresql://[", "not an address"),
        ("postgresql://me@/x?host=/nowhere", "check the address and the server"),
    ],
)
def test_addresses_that_cannot_be_used(address: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as refused:
        Store(address)
    assert "secret" not in str(refused.value)
