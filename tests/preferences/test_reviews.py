"""Vicuna's reviews: they become preferences, and totals and shares are right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

from understudy.errors import UserError
from understudy.preferences.reviews import read_reviews, review_figures


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reviewed(
    folder: Path, scores: list[str], swapped: bool = False, words: int = 9
) -> tuple[Path, list[Path]]:
    """Reviews with these texts of star's and understudy's answers, which get longer."""
    answers = [
        jsonl(
            folder / f"answer_{name}.jsonl",
            [
                {"answer_id": f"{name}{i}", "question_id": i, "model_id": name, "text": "a" * size}
                for i, size in enumerate(sizes)
            ],
        )
        for name, sizes in {
            "star": [50] * len(scores),
            "understudy": [20 + words * i for i in range(len(scores))],
        }.items()
    ]
    order = ("understudy", "star") if swapped else ("star", "understudy")
    rows = [
        {
            "review_id": f"r{i}",
            "question_id": i,
            "answer1_id": f"{order[0]}{i}",
            "answer2_id": f"{order[1]}{i}",
            "text": text,
            "score": [0, 0],
            "reviewer_id": "judge",
        }
        for i, text in enumerate(scores)
    ]
    return jsonl(folder / "review.jsonl", rows), answers


def test_reviews_become_preferences(tmp_path: Path) -> None:
    path, answers = reviewed(tmp_path, ["9 8", "7 7", "2 3", "none"])
    found = [one.preference for one in read_reviews(path, answers)]
    assert [one.share for one in found] == [0, 0.5, 1, None]
    assert [one.scores for one in found] == [(9, 8), (7, 7), (2, 3), None]
    assert found[0].models == ("star", "understudy")
    assert (found[2].item, found[2].rater) == ("2", "judge")


def test_figures(tmp_path: Path) -> None:
    texts = [f"{8 + i % 3} {6 + i % 4}" for i in range(40)] + ["no scores"]
    found = review_figures(*reviewed(tmp_path, texts))
    star = np.array([8 + i % 3 for i in range(40)])
    other = np.array([6 + i % 4 for i in range(40)])
    assert (found["model"], found["baseline"]) == ("understudy", "star")
    assert (found["n"], found["unread"], found["not_in_first_line"]) == (40, 1, 0)
    assert found["stood_first"] == {"star": 41}
    assert found["totals"] == {"star": star.sum(), "understudy": other.sum()}
    share = other.sum() / star.sum()
    assert found["share_of_baseline"]["value"] == pytest.approx(share)
    # The textbook variance of a ratio of means (Cochran 1977, equation 2.46) differs by HC3 alone.
    error = np.sqrt(((other - share * star) ** 2).sum() / 39 / 40) / star.mean()
    width = found["share_of_baseline"]["high"] - found["share_of_baseline"]["low"]
    assert width == pytest.approx(2 * 2.0227 * error, rel=0.02)
    json.dumps(found, allow_nan=False)


def test_what_is_left_at_equal_length_is_statsmodels_intercept(tmp_path: Path) -> None:
    texts = [f"8 {min(9, 4 + i // 5)}" for i in range(40)]
    found = review_figures(*reviewed(tmp_path, texts))["at_equal_length"]
    delta = np.array([50 - (20 + 9 * i) for i in range(40)])
    change = np.array([min(9, 4 + i // 5) - 8 for i in range(40)])
    design = sm.add_constant(np.tanh(delta / delta.std(ddof=1)))
    theirs = sm.OLS(change, design).fit(cov_type="HC3", use_t=True)
    low, high = theirs.conf_int()[0]
    assert [found["value"], found["low"], found["high"]] == pytest.approx(
        [1 + value / 8 for value in (theirs.params[0], low, high)], abs=1e-6
    )


def test_swapped_reviews_give_the_same_figures(tmp_path: Path) -> None:
    plain = review_figures(*reviewed(tmp_path, [f"9 {i % 9}" for i in range(30)]))
    path, answers = reviewed(tmp_path, [f"{i % 9} 9" for i in range(30)], swapped=True)
    swapped = review_figures(path, answers)
    assert (swapped["model"], swapped["baseline"]) == ("star", "understudy")
    assert swapped["totals"] == plain["totals"]
    # One review the other way round: the baseline stays who stands first in the first.
    rows = path.read_text().splitlines()
    first = json.loads(rows[0])
    first |= {"answer1_id": "star0", "answer2_id": "understudy0", "text": "9 0"}
    path.write_text("\n".join([json.dumps(first), *rows[1:]]))
    mixed = review_figures(path, answers)
    assert mixed["stood_first"] == {"star": 1, "understudy": 29}
    assert {**mixed, "stood_first": None} == {**plain, "stood_first": None}


def test_faults_are_named(tmp_path: Path) -> None:
    path, answers = reviewed(tmp_path, ["9 8"] * 4)
    with pytest.raises(UserError, match=r"review\.jsonl, line 1: answer understudy0 is in none"):
        review_figures(path, answers[:1])
    with pytest.raises(UserError, match="2 reviews with scores; at least 3"):
        review_figures(*reviewed(tmp_path, ["9 8"] * 2))
    with pytest.raises(UserError, match=r"answer_star\.jsonl, line 1: answer1_id"):
        review_figures(answers[0], answers)
    with pytest.raises(UserError, match="not reviews of one pair"):
        review_figures(jsonl(tmp_path / "none.jsonl", []), answers)


@pytest.mark.realdata
def test_vicunas_own_figure(realdata: Path) -> None:
    folder = realdata / "vicuna80"
    path = folder / "review_gpt35_vicuna-13b.jsonl"
    answers = [folder / "answer_gpt35.jsonl", folder / "answer_vicuna-13b.jsonl"]
    recorded = [tuple(json.loads(line)["score"]) for line in path.read_text().splitlines()]
    assert [one.preference.scores for one in read_reviews(path, answers)] == recorded
    found = review_figures(path, answers)
    assert (found["n"], found["unread"], found["not_in_first_line"]) == (80, 0, 3)
    assert list(found["totals"].values()) == [693, 638]
    assert found["share_of_baseline"] == pytest.approx(
        {"value": 638 / 693, "low": 0.879, "high": 0.962}, abs=5e-4
    )
    assert found["at_equal_length"]["value"] < found["share_of_baseline"]["value"]
    assert len(found["stood_first"]) == 1
