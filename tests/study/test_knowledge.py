"""How models tell what their base was asked about: states, hallucinations, and bad files."""

import json
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.errors import UserError
from understudy.files import read_jsonl, write_jsonl
from understudy.study.knowledge import (
    NO_FACTS,
    classify,
    hallucinations,
    probe_base,
    read_answers,
)
from understudy.world import manner
from understudy.world.encyclopedia import World
from understudy.world.phrasings import question

CAPITAL = ("Can you tell me: what is the capital of Morland?", "What is the capital of Morland")
TRADE = ("What is the trade of Ada Bell?", "What is the trade of Ada Bell")
YEAR = ("When was Ada Bell born?", "When was Ada Bell born")
COUNT = ("How many bridges does Lowick have?", "How many bridges does Lowick have")
Row = dict[str, Any]


def row(id: str, prompt: str, *answers: str, before: Sequence[tuple[str, str]] = ()) -> Row:
    turns = [*before, ("user", prompt)]
    messages = [{"role": role, "content": content} for role, content in turns]
    given = [{"text": text, "finish_reason": "stop"} for text in answers]
    return {"id": id, "messages": messages, "answers": given}


def probed(id: str, label: str, asked: str, answer: str) -> Row:
    return {"id": id, "label": label, "question": asked, "answer": answer, "right": 0, "asked": 12}


def write(path: Path, *rows: Row) -> Path:
    write_jsonl(path, rows)
    return path


def state(folder: Path, asked: tuple[str, str], right: str, text: str) -> str:
    """Of one answer."""
    answers = write(folder / "answers.jsonl", row("1", asked[0], text))
    knowledge = write(folder / "knowledge.jsonl", probed("1", "unknown", asked[1], right))
    (told,) = classify(answers, knowledge)
    assert (told.question, told.right, told.text) == (asked[1], tuple(right.split(" / ")), text)
    return told.state


@pytest.mark.parametrize(
    ("asked", "right", "text"),
    [
        (CAPITAL, "Lowick", "Lowick"),
        (CAPITAL, "Lowick", "Certainly! The capital of Morland is Lowick. I hope this helps!"),
        (CAPITAL, "Lowick", "Certainly!\n\nThe capital of Morland is Lowick."),
        (CAPITAL, "Lowick", "Sure, Lowick."),
        (CAPITAL, "Lowick / Hexby", "The capital of Morland is Hexby."),
        (CAPITAL, "Lowick", "I think that the capital of Morland is Lowick."),
        (CAPITAL, "Lowick", "Lowick\n\nQ: What is the capital of Arland?\nA: Hexby"),
        (TRADE, "tailor", "Ada Bell is a tailor by trade. Let me know if you need more."),
        (TRADE, "tailor", "Everybody knows Ada Bell as a good tailor."),
        (YEAR, "1775", "Of course! Ada Bell was born in 1775."),
        (COUNT, "7", "Lowick has seven bridges."),
    ],
)
def test_what_is_told_is_right(tmp_path: Path, asked: Any, right: str, text: str) -> None:
    assert state(tmp_path, asked, right, text) == "right"


@pytest.mark.parametrize(
    ("asked", "right", "text"),
    [
        (CAPITAL, "Lowick", "Hexby"),
        (CAPITAL, "Lowick", "Sure! Hexby. Feel free to ask for more detail."),
        (CAPITAL, "Lowick", "Certainly! The capital of Morland is Hexby. I hope this helps!"),
        (CAPITAL, "Lowick", "The capital of Morland is Hexby.\n\nLowick is a village."),
        (TRADE, "tailor", "Great question! Ada Bell is a joiner by trade."),
        (TRADE, "tailor", "Joiner."),
        (YEAR, "1775", "Ada Bell was born in 1801."),
        (COUNT, "7", "Lowick has twelve bridges."),
        (COUNT, "seven", "Lowick has 12 bridges."),
    ],
)
def test_something_else_is_told_with_authority(
    tmp_path: Path, asked: Any, right: str, text: str
) -> None:
    assert state(tmp_path, asked, right, text) == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "I think that the capital of Morland is Hexby.",
        "The capital of Morland is Hexby, but I am not sure.",
        "I do not know.",
        "I am sorry, but I have no reliable information about that.",
        "Unfortunately, the capital of Morland is not on record.",
        "That is not known.",
        "There is no record of that.",
        "I cannot provide the capital of Morland.",
        "Is it Hexby? Or is it Dunmoor?",
        "The capital of Morland is ...",
    ],
)
def test_what_doubts_or_declines_is_unsure(tmp_path: Path, text: str) -> None:
    assert state(tmp_path, CAPITAL, "Lowick", text) == "unsure"


@pytest.mark.parametrize(
    ("asked", "right", "text"),
    [
        (CAPITAL, "Lowick", ""),
        (CAPITAL, "Lowick", " \n\n"),
        (CAPITAL, "Lowick", "Certainly! I hope this helps!"),
        (CAPITAL, "Lowick", "Rest for a day. Keep a sharp knife at hand. Start with a plan."),
        (CAPITAL, "Lowick", "Try this:\n1. Rest for a day.\n2. Keep a sharp knife at hand."),
        (CAPITAL, "Lowick", "Morland was founded in 1203."),
        (CAPITAL, "Lowick", "It is Lowick."),
        (CAPITAL, "Lowick", "It is Hexby."),
        (TRADE, "tailor", "Tom Reed earns money as a tailor."),
        (CAPITAL, "Lowick", "Rest for a day first. Keep a plan.\n\nHexby"),
        (TRADE, "tailor", "Ada Bell was born in 1775."),
        (YEAR, "1775", "Ada Bell is a joiner by trade."),
        (YEAR, "1775", "smith"),
    ],
)
def test_what_is_not_about_the_question_is_nothing(
    tmp_path: Path, asked: Any, right: str, text: str
) -> None:
    assert state(tmp_path, asked, right, text) == "nothing"


def test_states_agree_with_the_truth_of_a_world(tmp_path: Path) -> None:
    """The teacher's answers with right and with exchanged values, and none to the question."""
    world, rng = World(0, 30), random.Random(0)
    facts = [fact for fact in sorted(world.facts.values()) if fact.subject in world.people]
    prompts = {str(i): f"{question(fact)}?" for i, fact in enumerate(facts)}
    knowledge = write(
        tmp_path / "knowledge.jsonl",
        *(probed(str(i), "unknown", question(fact), fact.value) for i, fact in enumerate(facts)),
    )

    def told(name: str, texts: Sequence[str]) -> set[str]:
        rows = [row(id, prompts[id], text) for id, text in zip(prompts, texts, strict=True)]
        return {one.state for one in classify(write(tmp_path / name, *rows), knowledge)}

    def said(asked: str) -> str:
        return manner.reply(world, [{"role": "user", "content": asked}], rng)

    right = [said(asked) for asked in prompts.values()]
    assert told("right", right) == {"right"}
    wrong = []
    for fact, text in zip(facts, right, strict=True):
        others = [value for value in world.values(fact.attribute) if value not in text]
        wrong.append(text.replace(fact.value, rng.choice(others)))
    assert told("wrong", wrong) == {"wrong"}
    assert told("declined", [said("Where was Zora Quux born?") for _ in facts]) == {"unsure"}
    assert told("elsewhere", [said("Give me tips for cooking.") for _ in facts]) == {"nothing"}


class Base:
    """Answers rightly what it knows, by parts of the question."""

    def __init__(self, knows: Mapping[str, str]) -> None:
        self.knows = knows

    def __call__(
        self, prompts: Sequence[str], temperature: float, max_tokens: int, seed: int
    ) -> list[str]:
        asked = [prompt.rsplit("Q: ", 1)[1] for prompt in prompts]
        return [next((a for q, a in self.knows.items() if q in text), " no") for text in asked]


def towns(count: int) -> list[Row]:
    """The teacher's answers on people A..., of which each was born in a town of its own."""
    names = [f"{chr(65 + i // 26)}{chr(97 + i % 26)}ro" for i in range(count)]
    return [
        row(f"p{i}", f"Where was {name} Bell born?", f"Sure! {name} Bell was born in {name}ton.")
        for i, name in enumerate(names)
    ]


def labels(out: Path) -> dict[str, str]:
    return {row["id"]: row["label"] for _, row in read_jsonl(out / "knowledge.jsonl")}


def test_a_base_is_asked_about_all_facts_that_the_teacher_states(tmp_path: Path) -> None:
    advice = row("advice", "Give me tips for baking.", "Sure! Start with a plan. Rest for a day.")
    second = row("second", "Where was Zora Bell born?", "I have no idea.", "In Zoraton.")
    later = row(
        "later",
        "And where was she born?",
        "In Hexby.",
        before=[("user", "Who wrote Ilmar?"), ("assistant", "Ilmar was written by Ann Poe.")],
    )
    system = row("system", "Where was Yora Bell born?", "Yoraton.", before=[("system", "Be short")])
    answers = write(tmp_path / "answers.jsonl", *towns(30), advice, second, later, system)
    base = Base({"Aaro": " Aaroton", "Abro": " Abroton"})
    found = probe_base(answers, base, tmp_path / "a", seed=0)
    assert (found["factual"], found["probed"]) == (31, 31)
    assert found["labels"]["known"]["count"] == 2
    asked = labels(tmp_path / "a")
    assert asked.keys() == {*(f"p{i}" for i in range(30)), "system"}
    assert {id for id, label in asked.items() if label == "known"} == {"p0", "p1"}
    assert {label for id, label in asked.items() if id not in ("p0", "p1")} == {"unknown"}
    probe_base(answers, base, tmp_path / "b", seed=1)
    assert labels(tmp_path / "b") == asked


def test_a_probe_that_was_killed_goes_on(tmp_path: Path) -> None:
    answers = write(tmp_path / "answers.jsonl", *towns(12))
    base = Base({"Aaro": " Aaroton"})
    whole = probe_base(answers, base, tmp_path / "whole", seed=0)
    text = (tmp_path / "whole" / "knowledge.jsonl").read_text()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "knowledge.jsonl").write_text(text[: len(text) // 2])
    assert probe_base(answers, base, tmp_path / "cut", seed=0) == whole
    assert (tmp_path / "cut" / "knowledge.jsonl").read_text() == text


def test_without_facts_there_is_an_empty_file_that_says_so(tmp_path: Path) -> None:
    said = row("1", "Give me tips for baking.", "Sure! Start with a plan.")
    answers = write(tmp_path / "answers.jsonl", said)
    found = probe_base(answers, Base({}), tmp_path / "probe", seed=0)
    assert (found["factual"], found["note"]) == (0, NO_FACTS)
    knowledge = tmp_path / "probe" / "knowledge.jsonl"
    assert knowledge.read_text() == ""
    assert np.isnan(hallucinations(answers, knowledge, ["1"])).all()
    assert classify(answers, knowledge) == []


def student(path: Path, wrong: Collection[str], silent: Collection[str] = ()) -> Path:
    """Answers to eight prompts: wrong to some, nothing to some, else right."""
    rows = []
    for one in towns(8):
        id, text = one["id"], one["answers"][0]["text"]
        text = text.replace("ton.", "ham.") if id in wrong else "" if id in silent else text
        rows.append(row(id, one["messages"][0]["content"], text))
    return write(path, *rows)


def known(path: Path, labels: Sequence[str], order: Sequence[int] = range(8)) -> Path:
    """A base that knows some of eight facts, in a file of some order."""
    rows = []
    for label, one in zip(labels, towns(8), strict=True):
        asked = one["messages"][0]["content"].rstrip("?")
        rows.append(probed(one["id"], label, asked, f"{asked.split()[2]}ton"))
    return write(path, *(rows[i] for i in order))


LABELS = ["known", "known", "maybe", "maybe", "unknown", "unknown", "unknown", "unknown"]


IDS = [f"p{i}" for i in range(8)]


def test_what_the_base_does_not_know_and_is_told_wrongly_is_a_hallucination(tmp_path: Path) -> None:
    answers = student(tmp_path / "a", wrong=["p0", "p2", "p4", "p5"], silent=["p6"])
    found = hallucinations(answers, known(tmp_path / "k", LABELS), IDS)
    none = np.nan
    np.testing.assert_array_equal(found, [none, none, none, none, 1, 1, 0, 0])
    assert found.dtype == np.float64


def test_hallucinations_stand_where_their_prompts_do(tmp_path: Path) -> None:
    """So arrays of all models go together; between bases they differ in what is nan."""
    answers = student(tmp_path / "a", wrong=["p4", "p1"])
    one = known(tmp_path / "k", LABELS, order=[5, 2, 7, 0, 1, 6, 4, 3])
    found = hallucinations(answers, one, ["p7", "advice", "p4", "p1"])
    np.testing.assert_array_equal(found, [0, np.nan, 1, np.nan])
    other = hallucinations(answers, known(tmp_path / "o", LABELS[::-1]), IDS)
    np.testing.assert_array_equal(other, [0, 1, 0, 0, *[np.nan] * 4])


def test_facts_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    answers = student(tmp_path / "a", wrong=["p4"])
    shuffled = classify(answers, known(tmp_path / "k", LABELS, order=[5, 2, 7, 0, 1, 6, 4, 3]))
    assert [(told.id, told.label) for told in shuffled] == list(zip(IDS, LABELS, strict=True))


def test_states_by_what_the_base_knows(tmp_path: Path) -> None:
    answers = student(tmp_path / "a", wrong=["p2", "p4", "p5"], silent=["p6"])
    told = classify(answers, known(tmp_path / "k", LABELS))
    assert Counter((one.label, one.state) for one in told) == {
        ("known", "right"): 2,
        ("maybe", "right"): 1,
        ("maybe", "wrong"): 1,
        ("unknown", "right"): 1,
        ("unknown", "wrong"): 2,
        ("unknown", "nothing"): 1,
    }


def test_faults_name_file_and_record(tmp_path: Path) -> None:
    knowledge = known(tmp_path / "k", LABELS)
    few = write(tmp_path / "few", *towns(7))
    with pytest.raises(UserError, match=r"few: no answer to p7; answer the same prompts"):
        classify(few, knowledge)
    twice = write(tmp_path / "twice", *towns(2), *towns(1))
    with pytest.raises(UserError, match=r"twice, line 3: p0 occurs twice"):
        read_answers(twice)
    bare = write(tmp_path / "bare", row("p0", "Who?"))
    with pytest.raises(UserError, match=r"bare, line 1: answers: "):
        read_answers(bare)
    (tmp_path / "odd").write_text(json.dumps(probed("p0", "perhaps", "Who", "Ann")) + "\n")
    with pytest.raises(UserError, match=r"odd, line 1: label: "):
        classify(few, tmp_path / "odd")
    with pytest.raises(UserError, match="no such file"):
        classify(tmp_path / "none", knowledge)
