"""What judges and people preferred: from their files to the page, from the student's side."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from report.run_folder import JUDGES, recipe, write_judge, write_panel, write_run
from understudy.errors import UserError
from understudy.files import read_json, read_jsonl, write_json, write_jsonl
from understudy.preferences import FILE, read_preferences
from understudy.recipe import Recipe
from understudy.report.page import page
from understudy.report.stage import report

JUDGED = recipe(judges=JUDGES)
SILENT = "Preference: neither people nor a judging LLM compared the answers."


def reported(run: Path, recipe: Recipe = JUDGED) -> tuple[dict[str, Any], str]:
    report(run, recipe, run, recipe.seed)
    return read_json(run / "report.json"), (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_judge(write_run(tmp_path, JUDGED), JUDGED)
    return tmp_path


def test_without_judges_and_people_nothing_is_said(tmp_path: Path) -> None:
    found, html = reported(write_run(tmp_path, recipe()), recipe())
    assert found["preference"] is None
    assert SILENT in found["not_measured"]
    assert 'id="preference"' not in html
    assert "prefer" not in found["verdict"]
    assert {claim["what"] for claim in found["claims"]} == {"style", "mmlu", "nq", "humaneval"}


def test_a_judges_preferences_are_told_from_the_students_side(run: Path) -> None:
    found, html = reported(run)
    rows = list(read_preferences(run / "judge" / FILE))
    said = found["preference"]["comparisons"]
    pairs = [("student", "teacher"), ("student", "base"), ("base", "teacher")]
    assert [(one["model"], one["against"]) for one in said[::2]] == pairs
    assert [one["protocol"] for one in said] == ["hurried", "checking"] * 3
    for one in said:
        own = [row for row in rows if row.rater == one["rater"]]
        pair = {one["model"], one["against"]}
        shares = [row.share_of(one["model"]) for row in own if set(row.models) == pair]
        mean = sum(share for share in shares if share is not None) / len(shares)
        rate = one["win_rate"]
        assert rate["value"] == pytest.approx(mean, abs=1e-6)
        assert rate["low"] < rate["value"] < rate["high"]
        assert one["wins"] == sum(share == 1 for share in shares)
        assert one["losses"] == sum(share == 0 for share in shares)
        for part in ("position", "at_equal_length", "at_equal_style", "longer_preferred"):
            assert 0 <= one[part]["low"] <= one[part]["value"] <= one[part]["high"] <= 1
    assert found["preference"]["agreement"]["kappa"][0]["between"] == [
        "world-checking (checking)", "world-hurried (hurried)"
    ]  # fmt: skip
    assert len(found["preference"]["ranking"]) == 2
    assert html.count('<table class="figures') == 7
    assert 'id="strengths"' in html


def test_the_verdict_and_its_claims_name_both_judges(run: Path) -> None:
    found, html = reported(run)
    assert re.search(
        r"; a hurried judge prefers it to the teacher in \d+ % \(\d+–\d+\) of pairs, a checking one"
        r" in \d+ % \(\d+–\d+\)\.$",
        found["verdict"],
    )
    holds = {one["text"]: one["holds"] for one in found["claims"] if one["what"] == "preference"}
    assert holds == {
        "Hurried judge: the student is preferred to the base": "yes",
        "Checking judge: the student is preferred to the base": "cannot tell",
        "Hurried judge: the student is preferred to the teacher": "cannot tell",
        "Checking judge: the student is preferred to the teacher": "no",
    }
    assert SILENT not in found["not_measured"]
    assert any("nobody else did" in sentence for sentence in found["not_measured"])
    assert found["verdict"].partition(": ")[2][:-1] in html


def test_what_a_scoring_judge_gives_is_told_as_a_share(tmp_path: Path) -> None:
    scoring = recipe(judges=[*JUDGES, {"model": "world-hurried", "protocol": "scores"}])
    write_judge(write_run(tmp_path, scoring), scoring)
    found, html = reported(tmp_path, scoring)
    said = found["preference"]["comparisons"]
    assert [one["protocol"] for one in said[:3]] == ["hurried", "scores", "checking"]
    assert said[0]["share_of_total"] is said[2]["share_of_total"] is None
    rows = [row for row in read_preferences(tmp_path / "judge" / FILE) if row.scores]
    shares = []
    for one in said[1::3]:
        pair = one["model"], one["against"]
        own, other = (
            sum(row.score_of(model) or 0 for row in rows if set(row.models) == {*pair})
            for model in pair
        )
        assert one["totals"] == {pair[0]: own, pair[1]: other}
        share = one["share_of_total"]
        assert share["value"] == pytest.approx(own / other, abs=1e-6)
        assert share["low"] < share["value"] < share["high"]
        shares.append(f"{100 * own / other:.0f}")
    student, _, base = shares
    assert re.search(
        rf"; a scoring judge gives it {student} % \(\d+–\d+\) of the teacher’s total\.$",
        found["verdict"],
    )
    row = r"total score</th><td>–</td><td>{}<small>\d+–\d+</small></td><td>–</td></tr>"
    written = html.replace("\n", "")
    assert re.search(row.format(student), written)
    assert re.search(row.format(base).replace("total score", "for comparison"), written)
    assert "Scoring judge: " in html


def test_a_judge_that_scores_nothing_has_no_share(run: Path) -> None:
    found, html = reported(run)
    assert {one["share_of_total"] for one in found["preference"]["comparisons"]} == {None}
    assert "total score" not in html
    assert "scoring judge" not in html.lower() + found["verdict"]


def test_what_judging_cost_is_counted(run: Path) -> None:
    cost = reported(run)[0]["cost"]
    assert cost["by_stage"]["judge"]["calls"] == 60 * 3 * 2 * 2
    assert cost["usd"] == pytest.approx(0.12 + 0.0432 + 0.03 + 0.02)


def test_people_are_counted_together_and_not_named(run: Path) -> None:
    write_panel(run)
    found, html = reported(run)
    people = [one for one in found["preference"]["comparisons"] if one["by"] == "people"]
    assert {(one["protocol"], one["raters"]) for one in people} == {("hurried", 3), ("checking", 2)}
    assert all(one["rater"] is None for one in people)
    between = [one["between"] for one in found["preference"]["agreement"]["kappa"]]
    assert ["people (hurried)", "world-hurried (hurried)"] in between
    assert {one["among"] for one in found["preference"]["agreement"]["alpha"]} == {"people"}
    assert "Ann" not in html + json.dumps(found)
    assert "hurried people prefer it to the teacher in" in found["verdict"]
    assert not any("prefer" in sentence.lower() for sentence in found["not_measured"])


def test_people_alone(tmp_path: Path) -> None:
    write_panel(write_run(tmp_path, recipe()), people=1)
    found, html = reported(tmp_path, recipe())
    assert {one["by"] for one in found["preference"]["comparisons"]} == {"people"}
    assert {one["rater"] for one in found["preference"]["ranking"]} == {None}
    assert "a checking" not in found["verdict"]
    assert "1 person" in html
    assert "Hurried people" in html


def test_the_picture_puts_all_beside_each_other(run: Path) -> None:
    _, html = reported(run)
    drawn = html[html.index('aria-labelledby="gap-title') :]
    drawn = drawn[: drawn.index("</desc>")]
    assert "how often the student is preferred to the teacher" in drawn
    order = ["Style: 96 %", "Hurried judge: ", "Checking judge: ", "MMLU: ", "HumanEval: "]
    places = [drawn.index(name) for name in order]
    assert places == sorted(places)
    assert re.search(r"Hurried judge: \d+ % \(\d+–\d+\), base \d+ % \(\d+–\d+\);", drawn)
    assert html.count("50 %: as good") == 1


def test_the_page_is_made_of_the_json_alone(run: Path) -> None:
    write_panel(run)
    found, html = reported(run)
    assert page(found) == html
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    labels = re.findall(r' aria-labelledby="([^"]+)"', html)
    assert {id for label in labels for id in label.split()} <= set(ids)


def test_several_judges_of_a_kind_go_by_their_names(tmp_path: Path) -> None:
    several = recipe(judges=[*JUDGES, {"model": "owner/a-long-name-of-70b", "protocol": "hurried"}])
    write_judge(write_run(tmp_path, several), several, prompts=30)
    found, html = reported(tmp_path, several)
    assert "Hurried, owner/a…of-70b" in html
    assert "Hurried, world-hurried" in html
    assert "Checking judge" in html
    assert "prefers" not in found["verdict"]  # which of the two would it be?


def test_where_nothing_could_be_judged(run: Path) -> None:
    path = run / "judge" / FILE
    write_jsonl(path, [row | {"share": None} for _, row in read_jsonl(path)])
    found, html = reported(run)
    assert "prefers" not in found["verdict"]
    assert {one["not_judged"] for one in found["preference"]["comparisons"]} == {120}
    assert html.count("120 of 120") == 4
    holds = [one["holds"] for one in found["claims"] if one["what"] == "preference"]
    assert holds == ["cannot tell"] * 4
    assert "50 %: as good" not in html


def test_what_a_judge_thinks_of_its_own_answers_is_handed_on(run: Path) -> None:
    said = read_json(run / "judge/judge.json")
    own = {"model": "teacher", "value": 0.125, "low": 0.05, "high": 0.2}
    for one in said["preferences"]["comparisons"]:
        if one["models"] == ["student", "teacher"] and one["protocol"] == "hurried":
            one["self_preference"] = own
    write_json(run / "judge/judge.json", said)
    found, html = reported(run)
    first, second = found["preference"]["comparisons"][:2]
    assert (first["self_preference"], second["self_preference"]) == (own, None)
    assert html.count("Own answers preferred") == 1
    assert "12.5" in html


def test_mistakes_are_named(run: Path) -> None:
    path = run / "panel" / FILE
    rows = [row for _, row in read_jsonl(run / "judge" / FILE)]
    rows[4]["second"]["model"] = "gpt-4"
    write_jsonl(path, rows)
    with pytest.raises(UserError, match=r"panel/preferences\.jsonl, line 5: 'gpt-4' is none of"):
        report(run, JUDGED, run, 0)
    path.write_text("{}\n")
    with pytest.raises(UserError, match=r"panel/preferences\.jsonl, line 1"):
        report(run, JUDGED, run, 0)
    (run / "judge/manifest.json").unlink()
    with pytest.raises(UserError, match="judge is not finished"):
        report(run, JUDGED, run, 0)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "{{ 7 * 7 }}\x1b[31m", "x" * 5000])
def test_a_hostile_name_is_shown_and_harmless(tmp_path: Path, name: str) -> None:
    hostile = recipe(judges=[{"model": name, "protocol": "hurried"}, *JUDGES])
    write_judge(write_run(tmp_path, hostile), hostile, prompts=30)
    _, html = reported(tmp_path, hostile)
    assert "<script" not in html
    assert "\x1b" not in html
    assert len(html) < 200_000
