"""Looking up: what the teacher says is right, what is altered is wrong, the rest is passed over."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.files import read_jsonl
from understudy.world.claims import check
from understudy.world.encyclopedia import Fact, World
from understudy.world.manner import reply
from understudy.world.phrasings import JOINT_STATEMENTS, STATEMENTS, question, statement
from understudy.world.programs import draw_program
from understudy.world.prompts import write_prompts
from understudy.world.topics import TOPICS

WORLD = World(people=60)
TOPIC = TOPICS[0]
NO_QUESTION = "Tell me something."


def wrong(fact: Fact) -> Fact:
    """The same fact with another value of its kind."""
    return replace(fact, value=next(v for v in WORLD.values(fact.attribute) if v != fact.value))


@pytest.mark.parametrize("kind", ["broad", "local", "mixed"])
def test_the_teacher_is_right(tmp_path: Path, kind: str) -> None:
    write_prompts(WORLD, kind, 150, tmp_path / "prompts.jsonl")
    scores = []
    for number, row in read_jsonl(tmp_path / "prompts.jsonl"):
        chat = [{"role": "user", "content": row["prompt"]}]
        found = check(WORLD, row["prompt"], reply(WORLD, chat, random.Random(number)))
        assert found.told is not False
        assert all(claim.right for claim in found.claims)
        scores.append(found.score)
    assert min(scores) >= 0
    assert sum(scores) / len(scores) > 0.7


def test_every_wording_of_a_fact_is_recognised() -> None:
    for fact in WORLD.facts.values():
        for wording in range(len(STATEMENTS[fact.attribute])):
            for said in (fact, wrong(fact)):
                sentence = f"Sure! {statement(said, wording)} I hope this helps!"
                claims = check(WORLD, NO_QUESTION, sentence).claims
                about = (fact.subject, fact.attribute)
                assert [c.right for c in claims if c.about == about] == [said is fact], sentence


def test_a_sentence_may_say_several_things() -> None:
    person, other = WORLD.people[:2]
    for template in JOINT_STATEMENTS:
        names = [name for name in WORLD.facts if name[0] == person and f"{{{name[1]}}}" in template]
        own = {attribute: WORLD.value(person, attribute) for _, attribute in names}
        claims = check(WORLD, NO_QUESTION, template.format(subject=person, **own)).claims
        assert {claim.about for claim in claims} == set(names)
        assert all(claim.right for claim in claims)
        mixed = check(WORLD, NO_QUESTION, template.format(subject=other, **own)).claims
        assert not all(claim.right for claim in mixed)


FACT = WORLD.open_facts[0]
TRUE, FALSE = statement(FACT), statement(wrong(FACT))
OTHER = statement(wrong(WORLD.open_facts[5]))


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (TRUE, 1),
        (FACT.value, 1),
        (f"I think it is {FACT.value.upper()}.", 1),
        (f"{TRUE} {OTHER}", 0.5),
        ("I do not know.", 0),
        ("Nobody Atall was born in Nowhere.", 0),
        (OTHER, -0.5),
        (wrong(FACT).value, -1),
        (FALSE, -1),
        (f"{TRUE} {FALSE}", -1),
        (f"{FALSE} {OTHER}", -1.5),
        (f"{FALSE} " + " ".join(statement(wrong(f)) for f in WORLD.open_facts[9:30]), -2),
    ],
)
def test_a_question_for_a_fact(answer: str, score: float) -> None:
    assert check(WORLD, f"Please answer: {question(FACT)}?", answer).score == score


def test_a_choice_is_told_by_letter_or_value() -> None:
    others = [v for v in WORLD.values(FACT.attribute) if v != FACT.value][:3]
    options = [others[0], FACT.value, *others[1:]]
    rows = "\n".join(f"{letter}. {o}" for letter, o in zip("ABCD", options, strict=True))
    asked = f"{question(FACT)}?\n{rows}\nReply with only the letter."
    for answer in ("B", "B.", "(B) it is", "The right option is B.", FACT.value, f"{TRUE} Yes."):
        assert check(WORLD, asked, answer).told is True, answer
    for answer in ("C", "Answer: C", others[0], FALSE):
        assert check(WORLD, asked, answer).told is False, answer
    assert check(WORLD, asked, "A good question, and one I cannot answer.").told is None


def test_sums_and_programs() -> None:
    for answer, told in [("42", True), ("Sure! 17 + 25 = 42.", True), ("17 + 25 equals 41", False),
                         ("about -42", False), ("I cannot tell.", None)]:  # fmt: skip
        assert check(WORLD, "What is 17 + 25?", answer).told is told, answer
    program = draw_program(random.Random(1))
    asked = f"Complete this.\n\n{program.prompt}"
    assert check(WORLD, asked, f"```python\n{program.prompt}{program.body}```").told is True
    assert check(WORLD, asked, f"```python\n{program.prompt}    return 7\n```").told is False
    assert check(WORLD, asked, "I would rather not.").told is None


def test_a_request_on_a_topic() -> None:
    asked = f"Give me some tips for {TOPIC.name}."
    right = TOPIC.fill("1. Get {needs} before you start.\n2. Keep {aim} in mind as your goal.")
    false = "3. Avoid too much joy, the most common error."
    elsewhere = TOPICS[1].fill("The reward of {name} is {aim}.")
    scores = [check(WORLD, asked, text).score for text in
              (right, f"{right}\n{false}", elsewhere, "Hm.", OTHER, false)]  # fmt: skip
    assert scores == pytest.approx([2 / 3, 1 / 3, 0, 0, -1 / 3, -1 / 3])


PIECES = st.sampled_from(
    [TRUE, FALSE, OTHER, FACT.subject, " was born in ", "Get ", "{", "1. ", "A"]
)


@settings(max_examples=200)
@given(st.lists(st.one_of(PIECES, st.text(max_size=30)), max_size=8))
def test_any_text_can_be_checked(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert -2 <= check(WORLD, text, text).score <= 1
