"""What ratings say, and their way out and in again."""

import csv
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from panel.pairs import ABOUT, PAIRS, pair, rate_all
from understudy.errors import UserError
from understudy.panel import results as results_module
from understudy.panel.exports import as_csv, as_jsonl, read_rows
from understudy.panel.records import Choice, Claim, Rater, Rating, Task
from understudy.panel.results import Live, claims, flagged, preferences, quality, results, words
from understudy.panel.store import MAX_TEXT, Store


def for_the_teacher(task: Task) -> Choice:
    """Prefers what is good: the teacher, the better one of gold pairs, the fitting one."""
    return "right" if "teacher" in task.right else "left"


def row(rater: str, item: str, choice: Choice, **changes: Any) -> dict[str, Any]:
    """A rating of the student on the left against the teacher on the right."""
    return {
        "rater": rater,
        "protocol": "checking",
        "item": item,
        "kind": "pair",
        "left": "student",
        "right": "teacher",
        "left_text": "one",
        "right_text": "two",
        "better": None,
        "choice": choice,
        "claims": [],
        "comment": "",
        "seconds": 30.0,
        "active_seconds": 0.0,
        "rated_at": "2025-01-01T00:00:00.000000+00:00",
    } | changes


def turned(given: dict[str, Any]) -> dict[str, Any]:
    """The same opinion where the answers stand the other way round."""
    opposite = {"left_much": "right_much", "left": "right", "same": "same", "cannot": "cannot"}
    opposite |= {there: here for here, there in opposite.items()}
    sides = {"left": given["right"], "right": given["left"]}
    texts = {"left_text": given["right_text"], "right_text": given["left_text"]}
    return given | sides | texts | {"choice": opposite[given["choice"]]}


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Sequence[dict[str, Any]]:
    """What two hurried raters said of the small panel."""
    store = Store(str(tmp_path_factory.mktemp("rated") / "panel.sqlite"))
    store.set_up(PAIRS, ABOUT, 0)
    for name in ("Ann", "Bob"):
        rate_all(store, store.invite(name, "hurried")[0], for_the_teacher)
    rows = list(store.rows())
    store.close()
    return rows


def test_ratings_become_preferences_whichever_side_answers_stood_on(
    rated: Sequence[dict[str, Any]],
) -> None:
    found = list(preferences(rated))
    assert len(found) == 12, "neither gold pairs nor attention checks"
    assert {one.first.model for one in found} == {"student", "teacher"}
    assert {one.share_of("teacher") for one in found} == {0.75}
    assert all(model in one.text_of(model) for one in found for model in one.models)
    assert {one.rater for one in preferences(rated, {"Ann"})} == {"Bob"}
    (unsaid,) = preferences([row("Ann", "1", "cannot")])
    assert unsaid.share is None


def test_quality_counts_gold_attention_and_agreement() -> None:
    gold = {"kind": "gold", "left": "better", "right": "worse", "better": "better"}
    check = {"kind": "attention", "left": "misplaced", "right": "fitting", "better": "fitting"}
    rows = [
        row("Ann", "1", "left_much", active_seconds=4.0),
        row("Ann", "2", "right", active_seconds=8.0),
        row("Ann", "3", "same"),
        row("Ann", "4", "cannot"),
        row("Ann", "g1", "left", **gold),
        row("Ann", "g2", "same", **gold),
        row("Ann", "g3", "right_much", **gold),
        row("Ann", "a1", "right", **check),
        row("Ann", "a2", "cannot", **check),
        turned(row("Bob", "1", "left")),
        turned(row("Bob", "2", "left")),
        row("Bob", "3", "left"),
        row("Cid", "2", "left_much", protocol="hurried"),
    ]
    found = quality(rows)["Ann"]
    assert found["rated"] == 9
    assert found["median_seconds"] == 30.0
    assert (found["same"], found["cannot"]) == (0.25, 0.25)
    counts = {kind: (found[kind]["right"], found[kind]["of"]) for kind in ("gold", "attention")}
    assert counts == {"gold": (1, 3), "attention": (1, 2)}
    agreement = found["agreement"]
    assert (agreement["right"], agreement["of"]) == (1, 2), "Cid rates in another protocol"
    assert 0 < agreement["low"] < 0.5 < agreement["high"] < 1
    assert quality(rows)["Cid"]["agreement"]["of"] == 0


@pytest.mark.parametrize(
    ("misses", "checks", "fails"),
    [(0, 0, False), (0, 3, False), (1, 1, True), (1, 2, False), (2, 2, True), (2, 13, False)],
)
def test_raters_are_flagged_by_a_rule_and_left_out_only_if_told(
    misses: int, checks: int, fails: bool
) -> None:
    fitting = {"kind": "attention", "left": "fitting", "right": "misplaced", "better": "fitting"}
    said = ["right"] * misses + ["left"] * (checks - misses)
    rows = [row("Ann", f"a{n}", choice, **fitting) for n, choice in enumerate(said)]
    rows += [row("Ann", "1", "left"), row("Bob", "1", "right")]
    assert flagged(rows) == ["Ann"] * fails
    whole, without = results(rows, 0), results(rows, 0, without_flagged=True)
    assert whole["left_out"] == []
    assert whole["preferences"]["n"] == 2
    assert without["left_out"] == ["Ann"] * fails
    assert without["preferences"]["n"] == 2 - fails
    assert set(without["raters"]) == {"Ann", "Bob"}, "nobody vanishes"


def test_marks_are_counted_by_model_and_protocol() -> None:
    def marks(side: str, *given: str) -> list[dict[str, Any]]:
        return [
            Claim.model_validate({"side": side, "sentence": n, "mark": mark}).model_dump()
            for n, mark in enumerate(given)
        ]

    said = marks("left", "wrong", "right", "wrong") + marks("right", "right", "unsure")
    rows = [row("Ann", "1", "right", claims=said)]
    rows += [
        row("Bob", "2", "left", left="teacher", right="student", claims=marks("left", "right"))
    ]
    rows += [row("Ann", "g", "left", kind="gold", claims=said)]
    found = claims(rows)["checking"]
    assert found["student"] | {"low": 0, "high": 0} == {
        "right": 1,
        "wrong": 2,
        "unsure": 0,
        "checked": 3,
        "share_wrong": 2 / 3,
        "low": 0,
        "high": 0,
    }
    assert found["student"]["low"] < 2 / 3 < found["student"]["high"]
    assert (found["teacher"]["right"], found["teacher"]["unsure"]) == (2, 1)
    assert claims([row("Ann", "1", "left")]) == {}


def test_results_in_words(rated: Sequence[dict[str, Any]]) -> None:
    shown = words(results(rated, 0))
    assert "16 ratings" in shown
    assert "hurried: student over teacher: 0.250" in shown
    assert "12 ratings by 2 raters, 0 not judged" in shown
    assert "Ann (hurried): 8 rated, gold" in shown
    assert words(results([], 0)) == "0 ratings"


def test_the_owners_figures_are_computed_when_there_is_something_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "panel.sqlite"))
    store.set_up(PAIRS, ABOUT, 0)
    live = Live(store)
    computed: list[int] = []

    def counted(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
        computed.append(len(rows))
        return {"ratings": len(rows)}

    monkeypatch.setattr(results_module, "results", counted)
    assert live()["progress"] == []
    rater, _ = store.invite("Ann", "hurried")
    rate_all(store, rater)
    found = live()
    (progress,) = found["progress"]
    assert (progress["name"], progress["rated"], progress["total"]) == ("Ann", 8, 8)
    assert found["ratings"] == 0, "too soon after the first"
    for _ in range(2):
        monkeypatch.setattr(live, "_next", 0.0)
        live()
        with live._lock:  # waits for what is computed aside
            pass
    assert live()["ratings"] == 8
    assert computed == [0, 8], "the last time nothing was new"
    store.close()


# Out and in


HOSTILE = (
    *("=1+1", "+1", "-1", "@x", "'quoted'", "'=x", '"', "a,b", "two\r\nlines\rand\n", "ü", ""),
    "=" * MAX_TEXT,
)


@pytest.fixture
def hostile(place: str) -> Store:
    """A panel whose texts a spreadsheet would misread, rated by one."""
    pairs = [pair(f"={n}", texts=(text, "other")) for n, text in enumerate(HOSTILE)]
    made = Store(place)
    made.set_up(pairs, {"items_per_rater": None}, 0)
    rater, _ = made.invite("=Ann", "checking")
    made.begin(rater.id)
    mark = Claim(side="left", sentence=3, mark="unsure")
    while task := made.next_task(rater.id):
        said = Rating(choice="cannot", claims=(mark,), comment=task.left[:2000], active_ms=1234)
        made.rate(rater.id, task.id, said)
    return made


@pytest.mark.parametrize("write", [as_csv, as_jsonl])
def test_an_export_comes_back_as_it_was(hostile: Store, tmp_path: Path, write: Any) -> None:
    rows = list(hostile.rows())
    assert len(rows) == len(HOSTILE)
    content = "".join(write(rows)).encode()
    back = read_rows(content, "export")
    other = Store(str(tmp_path / "other.sqlite"))
    pairs = [pair(f"={n}", texts=(text, "other")) for n, text in enumerate(HOSTILE)]
    other.set_up(pairs, {"items_per_rater": 3}, 9)
    assert other.put_rows(back) == len(rows)
    assert list(other.rows()) == rows
    assert other.put_rows(back) == 0
    assert hostile.put_rows(back) == 0
    assert list(other.rows()) == rows
    hostile.close()
    other.close()


def test_no_cell_is_a_formula(hostile: Store) -> None:
    content = "".join(as_csv(hostile.rows()))
    hostile.close()
    for cells in csv.reader(io.StringIO(content, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_whose_ratings_were_taken_in_goes_on_with_the_rest(
    store: Store, rated: Sequence[dict[str, Any]]
) -> None:
    """Taken in before and after the beginning, nothing is asked or counted twice."""
    ann, _ = store.invite("Ann", "hurried")
    bob, _ = store.invite("Bob", "hurried")
    store.begin(bob.id)
    open_page = store.next_task(bob.id)
    assert store.put_rows(rated) == 16
    assert open_page is not None
    waiting = store.task(bob.id, open_page.id)
    assert waiting is None or waiting.rating is None, "what was open is not what was taken in"
    for rater in (ann, bob):
        rate_all(store, rater)
    rows = list(store.rows())
    assert len(rows) == len({(row["rater"], row["item"], row["kind"]) for row in rows})
    assert all(one in rows for one in rated)
    assert len([row for row in rows if row["rater"] == "Ann"]) == 8
    teacher = [one.share_of("teacher") for one in preferences(rows[:12])]
    assert set(teacher) == {0.75}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"item": "nowhere"}, "row 2: item 'nowhere' with these two answers is not rated here"),
        ({"left_text": "other"}, "is not rated here"),
        ({"kind": "gold"}, "is not rated here"),
        ({"left": "base"}, "is not rated here"),
        ({"choice": "maybe"}, "row 2: choice: Input should be"),
        ({"rated_at": "yesterday"}, "row 2: rated_at"),
        ({"rated_at": "2025-01-01T00:00:00"}, "row 2: rated_at"),
        ({"seconds": float("nan")}, "row 2: seconds"),
        ({"rater": "x" * 101}, "row 2: rater"),
        ({"protocol": "checking"}, "row 2: Ann rates in protocol hurried here"),
        ({"more": 1}, "row 2: more: Extra inputs"),
        ({"claims": [{"side": "left", "sentence": -1, "mark": "right"}]}, "row 2: claims.0"),
    ],
)
def test_rows_that_are_malformed_or_of_other_pairs_bring_nothing(
    tmp_path: Path, rated: Sequence[dict[str, Any]], change: dict[str, Any], complaint: str
) -> None:
    store = Store(str(tmp_path / "panel.sqlite"))
    store.set_up(PAIRS, ABOUT, 0)
    of_pairs = [one for one in rated if one["kind"] == "pair" and one["rater"] == "Ann"]
    with pytest.raises(UserError, match=complaint):
        store.put_rows([of_pairs[0], of_pairs[1] | change])
    assert list(store.rows()) == []
    assert store.raters() == []
    store.close()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff\xfe", "export: not UTF-8"),
        (b"", "no export of a panel"),
        (b"a,b\n1,2\n", "no export of a panel"),
        (b'{"a": 1}\n[2]\n', "line 2: not an object"),
        (b'{"a": 1}\n{"b"\n', "line 2: broken JSON"),
        (b'{"a": ' + b"[" * 100_000, "line 1: broken JSON"),
    ],
)
def test_files_that_are_no_export(content: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_rows(content, "export")


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [("1,2", "line 2: not as many cells"), ('"', "broken CSV"), (None, "line 2: claims")],
)
def test_rows_of_csv_that_are_broken(
    rated: Sequence[dict[str, Any]], cells: str | None, complaint: str
) -> None:
    header, first = "".join(as_csv(rated[:1])).splitlines(keepends=True)
    content = header + (first.replace("[]", "[") if cells is None else cells)
    with pytest.raises(UserError, match=rf"export, .*{complaint}"):
        read_rows(content.encode(), "export")


def test_ratings_are_taken_in_while_the_same_are_made(
    store: Store, rated: Sequence[dict[str, Any]]
) -> None:
    people = [store.invite(name, "hurried")[0] for name in ("Ann", "Bob")]
    for rater in people:
        store.begin(rater.id)

    def work(rater: Rater) -> None:
        while task := store.next_task(rater.id):
            store.rate(rater.id, task.id, Rating(choice="same"))

    with ThreadPoolExecutor(3) as pool:
        took = pool.submit(store.put_rows, rated)
        for done in [pool.submit(work, rater) for rater in people]:
            done.result()
        new = took.result()
    rows = list(store.rows())
    assert len(rows) == len({(row["rater"], row["item"], row["kind"]) for row in rows})
    assert len([row for row in rows if row in rated]) == new
    assert sum(rater.rated for rater in store.raters()) == len(rows)
