"""What leaks and what does not: paraphrases do, another person in the same words does not."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.collect.leaks import COVER, NEAR, Bag, Guard, Held, Index, Rarity, normal
from understudy.world.encyclopedia import World
from understudy.world.phrasings import PLAIN, QUESTIONS, question

PEOPLE = ("Carl Dent", "Dora Elm", "Emil Fox", "Flora Gray", "Georg Hale", "Hanna Iver")
HELD = [
    Held("nq", "nq/1", "Where does Anna Brook live?", ("Lund", "the city of Lund")),
    *(Held("nq", f"nq/x{n}", f"Where does {who} live?", ("Oslo",)) for n, who in enumerate(PEOPLE)),
    *(Held("nq", f"nq/y{n}", f"When was {who} born?", ("1900",)) for n, who in enumerate(PEOPLE)),
]


def leaks(asked: str, told: str, held: list[Held] = HELD) -> list[str]:
    rarity = Rarity([normal(item.question) for item in held])
    return [
        leak.item.id for leak in Guard(held, rarity).leaks(Bag(normal(asked), rarity), normal(told))
    ]


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("  Where does the  Éclair come from? ", "where does eclair come from"),
        ("Who's on the U.S. team -- and why?", "whos on us team and why"),
        ("What is 3 + 4.5?", "what is 3 + 4 5"),
        ("3 - 4", "3 - 4"),
        ("A", "a"),
        ("The", "the"),
        ("!?", "!?"),
    ],
)
def test_normal(text: str, compared: str) -> None:
    assert normal(text) == compared


def test_an_equal_question_leaks_whatever_its_answer() -> None:
    assert leaks("where does the Anna Brook live", "Bergen") == ["nq/1"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("In which town does Anna Brook live?", "Lund"),
        ("What is the home of Anna Brook?", "lund."),
        ("Which place did Anna Brook choose to live in?", "Anna Brook lives in Lund, I believe."),
        ("Tell me where Anna Brook lives", "The city of Lund"),
    ],
)
def test_a_paraphrase_of_a_held_fact_leaks(asked: str, told: str) -> None:
    assert leaks(asked, told) == ["nq/1"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("Where does Bela Stone live?", "Lund"),
        ("Where does Bela Stone live?", "Bergen"),
        ("Where does Anna Stone live?", "Lund"),
        ("When was Anna Brook born?", "1871"),
        ("What is the home of Anna Brook?", "Lundby"),
        ("Who lives in Lund?", "Nobody"),
    ],
)
def test_another_person_or_another_fact_does_not(asked: str, told: str) -> None:
    assert leaks(asked, told) == []


def test_letters_as_answers_are_compared() -> None:
    held = [Held("quiz", "q/1", "Which of the two is blue, sky or grass?", ("A",)), *HELD]
    assert leaks("sky or grass, which of them is blue?", "A", held) == ["q/1"]
    assert leaks("is the sky or the grass blue?", "B", held) == []


WORD = st.sampled_from(["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op"])
WORDS = st.lists(WORD, max_size=6).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=12), WORDS)
def test_the_index_misses_nothing_that_is_near(texts: list[str], text: str) -> None:
    rarity, index = Rarity(texts), Index()
    bags = [Bag(other, rarity) for other in texts]
    for bag in bags:
        index.add(bag)
    asked = Bag(text, rarity)
    found = {number for number, _ in index.near(asked)}
    for number, bag in enumerate(bags):
        likeness, cover = asked.likeness(bag), asked.cover(bag)
        assert 0 <= likeness <= 1 + 1e-9
        assert 0 <= cover <= 1 + 1e-9
        if text and (likeness >= NEAR or cover >= COVER):
            assert number in found


def test_the_worlds_benchmark_facts_leak_however_they_are_put_and_open_facts_hardly_ever() -> None:
    world, rng = World(), random.Random(0)
    held = [
        Held("nq", f"nq/{n}", question(fact, rng.randrange(PLAIN)), (fact.value,))
        for n, fact in enumerate(world.benchmark_facts)
    ]
    rarity = Rarity([normal(item.question) for item in held])
    guard = Guard(held, rarity)
    missed = {}
    for number, fact in enumerate(world.benchmark_facts):
        for wording in range(len(QUESTIONS[fact.attribute])):
            bag = Bag(normal(question(fact, wording)), rarity)
            found = guard.leaks(bag, normal(fact.value))
            if f"nq/{number}" not in {leak.item.id for leak in found}:
                missed[number, wording] = fact
    assert len(missed) < 0.005 * 5 * len(held)
    assert not [wording for _, wording in missed if wording < PLAIN]
    wrongly = 0
    for fact in world.open_facts:
        bag = Bag(normal(question(fact, rng.randrange(PLAIN))), rarity)
        wrongly += bool(guard.leaks(bag, normal(fact.value)))
    assert wrongly < 0.02 * len(world.open_facts)


@pytest.mark.realdata
def test_paraphrases_inside_nq_open_are_found(realdata: Path) -> None:
    rows = [json.loads(line) for line in (realdata / "NQ-open.dev.jsonl").open()]
    held = [Held("nq", r["question"], r["question"], tuple(r["answer"])) for r in rows]
    rarity = Rarity([normal(item.question) for item in held])
    guard, others = Guard(held, rarity), {}
    for item in held:
        found = guard.leaks(Bag(normal(item.question), rarity), normal(item.answers[0]))
        ids = {leak.item.id for leak in found}
        assert item.id in ids
        others[item.id] = ids - {item.id}
    for asked, same in (
        (
            "who won the 1st battle of bull run",
            "who won the battle of the first battle of bull run",
        ),
        (
            "who wrote the country song i can only imagine",
            "who wrote and performed i can only imagine",
        ),
        (
            "when is last time the astros won the world series",
            "when was the last time astros was in the world series",
        ),
    ):
        assert same in others[asked]
    assert (
        "who won the first season of america's got talent"
        not in others["who won the fifth season of america's got talent"]
    )
    assert sum(map(bool, others.values())) < 0.05 * len(held)
