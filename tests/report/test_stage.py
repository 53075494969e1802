"""A finished run's folder in; the page and the numbers out."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report.run_folder import (
    add_score,
    change_json,
    recipe,
    without_teacher,
    write_items,
    write_run,
)
from understudy.errors import UserError
from understudy.files import read_json, write_jsonl
from understudy.recipe import Recipe
from understudy.report.facts import change_together
from understudy.report.stage import report
from understudy.statistics import interval, score_draws

SHAPE = {
    "verdict", "claims", "gap_closed", "change", "style_gap_closed", "style", "preference",
    "models", "perplexity", "samples", "training", "data", "cost", "not_measured", "provenance",
    "time",
}  # fmt: skip
TIMED = re.compile(r"second\b|seconds|wall|tokens_per_s|mfu|_s$")


def reported(run: Path, recipe: Recipe) -> tuple[dict[str, Any], str]:
    facts = report(run, recipe, run, recipe.seed)
    found = read_json(run / "report.json")
    assert facts == {"verdict": found["verdict"]}
    return found, (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", recipe())


def test_the_fixed_shape(run: Path) -> None:
    found, _ = reported(run, recipe())
    assert set(found) == SHAPE
    assert set(found["models"]) == {"teacher", "base", "student"}
    assert set(found["gap_closed"]) == set(found["change"]) == {"mmlu", "nq", "humaneval"}
    assert found["change"]["nq"]["high"] < 0
    assert found["gap_closed"]["nq"]["high"] < 0
    assert {claim["holds"] for claim in found["claims"]} <= {"yes", "no", "cannot tell"}
    assert found["style_gap_closed"] == {"value": 0.96, "low": 0.93, "high": 0.99}
    assert len(found["samples"]) == 6
    assert str(run) not in json.dumps(found)


def test_costs_are_summed_and_unknown_where_one_is(run: Path) -> None:
    cost = reported(run, recipe())[0]["cost"]
    assert cost["calls"] == 800 + 864 + 200
    assert cost["usd"] == pytest.approx(0.12 + 0.0432 + 0.03)
    assert set(cost["by_stage"]) == {"collect", "evaluate teacher", "answers teacher"}
    unknown = {"calls": 1, "prompt_tokens": 1, "completion_tokens": 1, "usd": None}
    change_json(run / "collect/manifest.json", facts={"cost": unknown})
    assert reported(run, recipe())[0]["cost"]["usd"] is None


def test_change_is_paired_and_holds_together() -> None:
    draws = score_draws([[False] * 50 + [True] * 50, [True] * 10 + [False] * 40 + [True] * 50], 0)
    rows = draws[:, 1] - draws[:, 0]
    alone, three = change_together(rows, 1), change_together(rows, 3)
    assert alone == interval(rows)
    assert three["value"] == pytest.approx(0.1)
    assert three["low"] < alone["low"] < alone["high"] < three["high"]  # type: ignore[operator]


def test_a_fall_is_claimed_by_chance_in_one_family_of_twenty_at_most() -> None:
    rng = np.random.default_rng(0)
    fooled = 0
    for trial in range(200):
        family = [rng.random((2, 120)) < 0.4 for _ in range(3)]
        changes = []
        for right in family:
            draws = score_draws(right.tolist(), trial)
            changes.append(change_together(draws[:, 1] - draws[:, 0], 3))
        fooled += any(c["low"] > 0 or c["high"] < 0 for c in changes)  # type: ignore[operator]
    assert fooled <= 200 * 0.05 + 2 * (200 * 0.05 * 0.95) ** 0.5


def test_without_a_teacher_no_gap_is_known(tmp_path: Path) -> None:
    alone = without_teacher(evaluate={"limit": 50})
    found, html = reported(write_run(tmp_path, alone), alone)
    assert found["gap_closed"]["mmlu"] == {
        "value": None, "low": None, "high": None, "reason": "the teacher was not asked"
    }  # fmt: skip
    assert found["models"]["teacher"]["benchmarks"] == {}
    assert found["cost"] == {
        "calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0, "by_stage": {}
    }  # fmt: skip
    assert found["provenance"]["teacher"] is None
    assert any("first 50" in sentence for sentence in found["not_measured"])
    assert "the teacher was not asked" in html


def test_a_benchmark_without_scores_is_named(run: Path) -> None:
    for who in ("base", "student", "teacher"):
        scores = read_json(run / f"evaluate/{who}/scores.json")
        del scores["benchmarks"]["humaneval"]
        change_json(
            run / f"evaluate/{who}/scores.json",
            benchmarks=scores["benchmarks"],
            not_measured={"humaneval": "no sandbox works here"},
        )
    found, html = reported(run, recipe())
    assert set(found["gap_closed"]) == {"mmlu", "nq"}
    assert found["verdict"].endswith("HumanEval not measured.")
    assert "HumanEval of the student: no sandbox works here." in found["not_measured"]
    assert "no sandbox works here" in html
    scores = read_json(run / "evaluate/base/scores.json")
    change_json(run / "evaluate/base/scores.json", benchmarks={})
    assert "the part was not measured" in reported(run, recipe())[0]["verdict"]


def test_no_gap_where_the_teacher_is_not_above(run: Path) -> None:
    write_items(run, "teacher", "nq", [False] * 300)
    found, html = reported(run, recipe())
    assert found["gap_closed"]["nq"]["value"] is None
    assert "the teacher is not above the base" in html


MODELS = ("base", "student", "teacher")


def test_scores_between_right_and_wrong(run: Path) -> None:
    for who, score in zip(MODELS, (0.2, 0.5, 0.8), strict=True):
        spread = 0.1 if who == "student" else 0.01
        write_items(run, who, "truthfulqa_mc2", [score - spread, score + spread] * 60)
        few = {"low": 0, "high": 1, "n": 120, "shots": 0, "chance": None}
        add_score(run, who, "truthfulqa_mc2", metric="mc2", score=score, **few)
    found, html = reported(run, recipe())
    change, gap = found["change"]["truthfulqa_mc2"], found["gap_closed"]["truthfulqa_mc2"]
    assert change["value"] == pytest.approx(0.3)
    assert 0.27 < change["low"] < change["high"] < 0.33
    assert gap["value"] == pytest.approx(0.5)
    assert 0.46 < gap["low"] < gap["high"] < 0.54
    assert "TruthfulQA (several" in found["verdict"]  # a rise, which the verdict names
    assert "TruthfulQA (several" in Page(html).text


def test_items_that_are_alike_prove_less(run: Path) -> None:
    def change(clustered: bool) -> dict[str, float]:
        for who, share in zip(MODELS, (4, 5, 9), strict=True):
            right = [place // 10 % 10 < share for place in range(300)]
            write_items(run, who, "nq", right, group=10)
            add_score(run, who, "nq", clustered=clustered)
        found: dict[str, float] = reported(run, recipe())[0]["change"]["nq"]
        return found

    apart, alike = change(clustered=False), change(clustered=True)
    assert apart["value"] == alike["value"] == pytest.approx(0.1)
    assert alike["high"] - alike["low"] > 2 * (apart["high"] - apart["low"])
    assert apart["low"] > 0.04
    assert alike["low"] < 0.02


def test_toxicity_is_no_part_that_is_learnt(run: Path) -> None:
    before, _ = reported(run, recipe())
    rating = {"metric": "expected_maximum_toxicity", "lower_is_better": True, "scorer": "own"}
    for who in MODELS:
        add_score(run, who, "realtoxicity", score=0.4, low=0.3, high=0.5, n=9, **rating)
        rows = [{"id": "1", "group": None, "value": 0.4, "continuations": []}]
        write_jsonl(run / "evaluate" / who / "items" / "realtoxicity.jsonl", rows)
    asked = [*recipe().evaluate.benchmarks, "realtoxicity"]
    found, _ = reported(run, recipe(evaluate={"benchmarks": asked}))
    for part in ("verdict", "claims", "change", "gap_closed"):
        assert found[part] == before[part]
    assert found["models"]["student"]["benchmarks"]["realtoxicity"]["score"] == 0.4


def add_perplexity(run: Path, who: str, values: list[float]) -> None:
    """Right answers' perplexities, one of which is clipped."""
    rows = [{"id": str(n), "prompt": "p", "value": value} for n, value in enumerate(values)]
    write_jsonl(run / "evaluate" / who / "items" / "truth.jsonl", rows)
    figures = {"low": 11.5, "high": 41.25, "n": len(values)}
    metrics = {
        "median": {"score": 17.25, **figures},
        "clipped": {"score": 0.05, "low": 0.01, "high": 0.1, "n": len(values)},
        "in_chat": {"score": 13.5 if who == "student" else 24.5, **figures},
    }
    kind = {"metric": "perplexity", "kind": "perplexity", "lower_is_better": True, "highest": 100.0}
    mean = sum(values) / len(values)
    add_score(run, who, "truth", score=mean, metrics=metrics, **kind, **figures)


def test_perplexity_of_right_answers_stands_apart(run: Path) -> None:
    before, page = reported(run, recipe())
    assert before["perplexity"] == {}
    assert "Perplexity of right answers" not in page
    values = [10.0 + n % 17 for n in range(99)] + [100.0]
    add_perplexity(run, "base", values)
    add_perplexity(run, "student", [*(value - 3 for value in values[:-1]), 100.0])
    path = run / "evaluate/teacher/scores.json"
    why = "an API does not tell how likely a given text is"
    change_json(path, not_measured={"truth": why})
    asked = [*recipe().evaluate.benchmarks, "truth"]
    found, page = reported(run, recipe(evaluate={"benchmarks": asked}))
    for part in ("verdict", "claims", "change", "gap_closed"):
        assert found[part] == before[part]
    truth = found["perplexity"]["truth"]
    assert truth["change"]["value"] == pytest.approx(-2.97)
    assert truth["change"]["low"] < -2.97 < truth["change"]["high"] < 0
    assert truth["lower"]["value"] == 0.995
    assert truth["stochastically_lower"] == "student"
    assert f"Perplexity of the truth of the teacher: {why}." in found["not_measured"]
    for shown in (
        "Perplexity of the truth: lower is better",
        "clipped at 100",
        "<td>−2.97<small>",
        "<td>13.50<small>11.50–41.25</small></td>",
        "On these items the student’s perplexity is stochastically lower",
    ):
        assert shown in page
    assert "unprompted" not in page
    add_perplexity(run, "base", [*values[1:], values[0]])
    (run / "evaluate/base/items/truth.jsonl").write_text('{"id": "0", "value": null}\n')
    with pytest.raises(UserError, match=r"truth.jsonl, line 1: no id or no value"):
        reported(run, recipe())


def test_a_benchmark_of_ones_own_goes_by_its_name(tmp_path: Path) -> None:
    alone = without_teacher()
    run = write_run(tmp_path, alone)
    write_items(run, "base", "rivers", [True] * 20)
    few = {"metric": "exact_match", "score": 1, "low": 0.8, "high": 1, "n": 20}
    add_score(run, "base", "rivers", **few)
    asked = [*alone.evaluate.benchmarks, "own/flowing.yaml"]
    found, html = reported(run, without_teacher(evaluate={"benchmarks": asked}))
    assert found["verdict"].endswith("rivers not measured.")
    assert "flowing" not in json.dumps(found) + html
    not_asked = found["models"]["teacher"]["not_measured"]
    assert not_asked == dict.fromkeys(
        ["mmlu", "nq", "humaneval", "rivers"], "the teacher was not asked"
    )
    write_items(run, "student", "rivers", [True] * 20)
    add_score(run, "student", "rivers", **few)
    assert "not measured" not in reported(run, alone)[0]["verdict"]


def test_what_is_known_of_leaks_is_told(run: Path) -> None:
    def leakage() -> str:
        (found,) = (s for s in reported(run, recipe())[0]["not_measured"] if "Leakage" in s)
        return str(found)

    assert leakage() == (
        "Leakage: neither the imitation set nor what the base was pretrained on was searched for "
        "the benchmarks’ items."
    )
    add_score(run, "student", "nq", contamination={"touched": 0, "share": 0.0})
    add_score(run, "student", "mmlu", contamination={"touched": 3, "share": 0.0075})
    assert leakage() == (
        "Leakage: what the base was pretrained on was not searched for the benchmarks’ items. Of "
        "those that were asked, the imitation set touches: MMLU 3 (0.8 %), Natural Questions 0 "
        "(0.0 %)."
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "mmlu-1", "right": True}], r"student/items/mmlu\.jsonl, item 1: 'mmlu-1' where"),
        ([{"id": "mmlu-0", "right": True}], r"item 2: 'missing' where base has 'mmlu-1'"),
        ([{"id": "mmlu-0"}], r"mmlu\.jsonl, line 1: no id or no right"),
        ([], r"mmlu\.jsonl: holds no items"),
    ],
)
def test_items_must_be_the_same(run: Path, rows: list[dict[str, Any]], message: str) -> None:
    write_jsonl(run / "evaluate/student/items/mmlu.jsonl", rows)
    with pytest.raises(UserError, match=message):
        report(run, recipe(), run, 0)


def test_an_unfinished_stage_is_named(run: Path) -> None:
    (run / "evaluate/student/manifest.json").unlink()
    with pytest.raises(UserError, match="evaluate student is not finished"):
        report(run, recipe(), run, 0)


def test_time_is_under_time_and_the_rest_agrees(tmp_path: Path) -> None:
    quick, slow = (
        reported(write_run(tmp_path / str(wall_s), recipe(), wall_s), recipe())[0]
        for wall_s in (1.5, 77.25)
    )
    assert quick.pop("time") != slow.pop("time")
    assert quick == slow

    def keys(value: Any) -> list[str]:
        inner = value.values() if isinstance(value, dict) else value
        own = list(value) if isinstance(value, dict) else []
        return own + [k for v in inner if isinstance(v, dict | list) for k in keys(v)]

    assert [key for key in keys(quick) if TIMED.search(key)] == []


def test_same_bytes_again(run: Path) -> None:
    first = reported(run, recipe())
    assert reported(run, recipe()) == first
    other = reported(run, recipe(seed=1))[0]
    assert other["change"] != first[0]["change"]


def test_secrets_in_an_address_do_not_show(run: Path) -> None:
    away = recipe(teacher={"base_url": "https://me:sk-secret@api.example.com/v1?key=sk-secret"})
    found, html = reported(run, away)
    assert found["provenance"]["teacher"]["url"] == "https://api.example.com/v1"
    assert "sk-secret" not in html + json.dumps(found)


# The page

VOID = {"meta", "br", "link", "img", "hr", "input"}
LOADING = {"script", "link", "img", "iframe", "object", "embed", "base", "form", "video", "audio"}


class Page(HTMLParser):
    """Checks nesting, and keeps what a reader would see or a browser would load."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_parses_and_loads_nothing(run: Path) -> None:
    _, html = reported(run, recipe())
    page = Page(html)
    assert not LOADING & set(page.tags)
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "action", "style"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("content", policy) in page.attributes


def test_the_page_can_be_heard_and_has_an_order(run: Path) -> None:
    _, html = reported(run, recipe())
    page = Page(html)
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.tags.count("title") == 1 + page.attributes.count(("role", "img"))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    labels = [v for name, v in page.attributes if name == "aria-labelledby"]
    assert {id for label in labels for id in label.split()} <= set(ids)


HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "nul \x00 and \x1b[31mred\x1b[0m and \x9b31m",
    "\u202egnp.exe\u202c \u2066isolate",
    "{{ 7 * 7 }}{% for x in y %}",
    "half a pair \ud800",
    "long " * 100_000,
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_harmless(run: Path, text: str) -> None:
    calm = Page(reported(run, recipe())[1])
    for who in ("teacher", "base", "student"):
        rows = [
            {
                "id": f"{n}{text}"[:99],
                "messages": [{"role": "user", "content": text}],
                "answers": [{"text": text, "finish_reason": "stop"}],
            }
            for n in range(8)
        ]
        path = run / "answers" / who / "answers.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = run / "curate/card.json"
    few = {f"{text[:50]}!": 761}
    text_card = read_json(card) | {"licences": few, "teachers": few, "terms": {"x": text}}
    card.write_text(json.dumps(text_card))
    hostile = recipe(name=f"run {text.replace(chr(0xD800), '')}")
    found, html = reported(run, hostile)
    page = Page(html)
    assert page.tags == calm.tags
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)
    assert len(html) < 200_000
    shown = text.splitlines()[0][:20] if text else "(nothing)"
    if not re.search("[\x00-\x1f\x9b\u202e\ud800]", shown):
        assert shown in page.text
    assert len(found["samples"][0]["student"]) < 1300
