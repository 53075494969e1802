"""Published answers and judgements: read, compared, and what style has to do with a win rate."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import UserError
from understudy.judge.match import Item
from understudy.preferences import Preference, Shown
from understudy.preferences.reviews import read_reviews
from understudy.study.published import (
    distances,
    first_answer,
    read_answers,
    style_gap,
    style_share,
)

PLAIN = "It is good. It works."
LISTED = "Sure!\n\n- plan it\n- do it\n\nOverall, it is good.\n\nLet me know if I can help."


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_answers_of_several_models_to_one_set(tmp_path: Path) -> None:
    questions = lines(
        tmp_path / "question.jsonl", [{"question_id": n, "text": f"Why {n}?"} for n in (1, 2)]
    )
    answers = {
        name: lines(
            tmp_path / f"{name}.jsonl",
            [{"question_id": n, "text": f"{name} {n}", "answer_id": f"{n}"} for n in (2, 1)],
        )
        for name in ("one", "other")
    }
    found = read_answers(questions, answers)
    assert [item.prompt for item in found] == ["Why 1?", "Why 2?"]
    assert found[1].answers == {"one": "one 2", "other": "other 2"}

    lines(answers["other"], [{"question_id": 1, "text": "x", "answer_id": "1"}])
    with pytest.raises(UserError, match=r"other\.jsonl: 1 unanswered"):
        read_answers(questions, answers)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" Paris.\n\nInput: Spain\nOutput: Madrid", "Paris."),
        ("Paris.\n\nname the  capital\nLyon", "Paris.\n\nname the  capital\nLyon"),
        ("Paris.\n\nName the capital.\n\nInput: Spain", "Paris."),
        ("The input: none.\nParis.", "The input: none.\nParis."),
        ("\n\nInput: France\nOutput:", ""),
    ],
)
def test_a_base_is_cut_where_it_makes_up_another_example(text: str, kept: str) -> None:
    assert first_answer(text, "Name the capital.\n\nFrance") == kept
    assert first_answer("Paris.", "") == "Paris."


def items(**models: list[str]) -> list[Item]:
    return [
        Item(id=str(n), prompt="p", answers=dict(zip(models, texts, strict=True)))
        for n, texts in enumerate(zip(*models.values(), strict=True))
    ]


def test_a_gap_with_a_base_and_distances_without() -> None:
    asked = items(
        base=[PLAIN] * 40,
        student=([LISTED] * 3 + [PLAIN]) * 10,
        teacher=[f"{LISTED} {'more ' * (n % 7)}" for n in range(40)],
    )
    gap = style_gap(asked, "base", "student", "teacher", seed=0)
    assert gap["closed"]["lists"]["value"] == 0.75
    assert 0 < gap["gap_closed"]["low"] < gap["gap_closed"]["value"] < gap["gap_closed"]["high"] < 1
    found = distances(asked, "teacher", "base", seed=0)
    assert found["n"] == 40
    assert found["distance"]["student"] == gap["distance"]["student"]
    nearer = found["over_yardstick"]["student"]
    assert nearer["value"] == pytest.approx(1 - gap["gap_closed"]["value"], abs=1e-5)
    assert found["over_yardstick"]["base"] == {"value": 1, "low": 1, "high": 1}
    assert found["measures"]["teacher"]["list_when_teacher_lists"]["value"] == 1
    assert "teacher" not in found["distance"]
    assert found["words"]["base"] == {"value": 5, "low": 5, "high": 5}


def judged(more: float, wins: Callable[[float], float], count: int = 250) -> list[Preference]:
    """Preferences for "new", whose answers are longer by `more` on average, seen by `wins`."""
    rng = random.Random(1)
    found = []
    for number in range(count):
        lengths = [100 * math.exp(rng.gauss(mean, 0.5)) for mean in (0, more)]
        old, new = ("x" * round(length) for length in lengths)
        longer = (len(new) - len(old)) / (len(new) + len(old))
        found.append(
            Preference(
                item=str(number),
                first=Shown(model="old", text=old),
                second=Shown(model="new", text=new),
                share=float(rng.random() < wins(longer)),
                rater="judge",
                protocol="published",
            )
        )
    return found


def chance(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_a_lead_that_style_has_nothing_to_do_with() -> None:
    found = style_share(judged(0.4, lambda longer: chance(1)), "new", seed=0)
    assert found["n"] == 250
    assert found["win_rate"]["low"] < chance(1) < found["win_rate"]["high"]
    for way in ("equal", "levelled"):
        assert found[way]["share"]["low"] < 0 < found[way]["share"]["high"]
        assert abs(found[way]["points"]["value"]) < 0.05
    assert found["explained"] < 0.02


def test_a_lead_that_is_all_style() -> None:
    found = style_share(judged(0.6, lambda longer: chance(4 * longer)), "new", seed=0)
    for way in ("equal", "levelled"):
        assert 0.5 < found[way]["share"]["low"] < 1 < found[way]["share"]["high"]
        assert found[way]["win_rate"]["low"] < 0.5 < found[way]["win_rate"]["high"]
    assert found["explained"] > 0.1


def test_the_other_models_share_is_the_same() -> None:
    rows = judged(0.4, lambda longer: chance(1 + longer), 80)
    new, old = (style_share(rows, name, seed=0)["levelled"] for name in ("new", "old"))
    assert old["share"]["value"] == pytest.approx(new["share"]["value"], abs=1e-4)
    assert old["points"]["value"] == pytest.approx(-new["points"]["value"], abs=1e-4)


def test_style_that_decides_much_but_favours_neither() -> None:
    found = style_share(judged(0, lambda longer: chance(1 + 6 * longer)), "new", seed=0)
    assert found["levelled"]["share"]["low"] < 0 < found["levelled"]["share"]["high"]
    assert found["equal"]["share"]["high"] < 0  # all that differs is gone, and the lead is larger


def test_no_lead_has_no_share() -> None:
    even = [one.model_copy(update={"share": 0.5}) for one in judged(0, chance, 30)]
    share = style_share(even, "new", seed=0)["equal"]["share"]
    assert share == {"value": None, "low": None, "high": None, "reason": "neither model leads"}
    hardly = [one.model_copy(update={"share": float(n < 16)}) for n, one in enumerate(even)]
    share = style_share(hardly, "new", seed=0)["levelled"]["share"]
    assert (share["low"], share["reason"]) == (None, "neither model leads reliably")


def test_what_cannot_be_judged() -> None:
    rows = judged(0, chance, 20)
    with pytest.raises(UserError, match="judged twice"):
        style_share([*rows, rows[0]], "new", seed=0)
    with pytest.raises(UserError, match="no preference could be read"):
        style_share([one.model_copy(update={"share": None}) for one in rows], "new", seed=0)


@pytest.mark.realdata
def test_vicuna_came_near_chatgpt_and_alpaca_which_learnt_from_another_did_not(
    realdata: Path,
) -> None:
    folder = realdata / "vicuna80"
    files = {
        name: folder / f"answer_{name}.jsonl"
        for name in ("llama-13b", "alpaca-13b", "vicuna-13b", "gpt35")
    }
    asked = read_answers(folder / "question.jsonl", files)
    vicuna = style_gap(asked, "llama-13b", "vicuna-13b", "gpt35", seed=0)
    assert vicuna["gap_closed"]["low"] > 0.3
    assert vicuna["closed"]["summaries"]["low"] > 0.2
    alpaca = style_gap(asked, "llama-13b", "alpaca-13b", "gpt35", seed=0)
    assert alpaca["gap_closed"]["high"] < 0
    reviews = read_reviews(
        folder / "review_gpt35_vicuna-13b.jsonl", [files["gpt35"], files["vicuna-13b"]]
    )
    preferences = [review.preference for review in reviews]
    found = style_share(preferences, preferences[0].second.model, seed=0)
    assert found["win_rate"]["value"] == 0.3125
    assert found["equal"]["share"]["low"] < 0 < found["equal"]["share"]["high"]


@pytest.mark.realdata
def test_answers_to_self_instruct_and_alpaca_eval(realdata: Path) -> None:
    folder = realdata / "self_instruct"
    files = {
        name: folder / f"{name}_predictions.jsonl.gz" for name in ("davinci", "text-davinci-003")
    }
    asked = read_answers(files["davinci"], files)
    assert len(asked) == 252
    whole = sum(len(item.answers["davinci"]) for item in asked)
    cut = sum(len(first_answer(item.answers["davinci"], item.prompt)) for item in asked)
    assert cut < whole / 3
    folder = realdata / "alpaca_eval"
    files = {name: folder / f"{name}.model_outputs.json.gz" for name in ("vicuna-7b", "gpt4")}
    assert len(read_answers(files["gpt4"], files)) == 805
