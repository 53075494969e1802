"""The encyclopedia: equal seeds, partitions of people and facts, and questions about facts."""

from collections import Counter

import pytest

from understudy.errors import UserError
from understudy.world import phrasings
from understudy.world.encyclopedia import (
    CRAFTS,
    FIRST_NAMES,
    LAST_NAMES,
    PERSON_ATTRIBUTES,
    RIVERS,
    TOWNS,
    World,
)

WORLD = World()


def test_equal_seeds_give_equal_worlds() -> None:
    again, other = World(), World(seed=1)
    assert again.digest == WORLD.digest
    assert again.facts == WORLD.facts
    assert again.benchmark_facts == WORLD.benchmark_facts
    assert other.digest != WORLD.digest
    assert other.facts != WORLD.facts
    assert World(people=40).digest != WORLD.digest


def test_names_are_distinct_and_short() -> None:
    words = [*FIRST_NAMES, *LAST_NAMES, *TOWNS, *RIVERS, *CRAFTS]
    assert len(set(words)) == len(words)
    assert all(3 < len(word) < 11 for word in words)
    assert (len(FIRST_NAMES), len(LAST_NAMES), len(TOWNS), len(CRAFTS)) == (40, 60, 40, 40)
    assert len(set(WORLD.people)) == 400


def test_people_are_halved_and_facts_partitioned() -> None:
    assert sorted(WORLD.rehearsed + WORLD.unrehearsed) == sorted(WORLD.people)
    assert len(WORLD.rehearsed) == len(WORLD.unrehearsed) == 200
    assert set(WORLD.benchmark_facts) | set(WORLD.open_facts) == set(WORLD.facts.values())
    assert not set(WORLD.benchmark_facts) & set(WORLD.open_facts)


def test_benchmark_facts_are_two_of_each_unrehearsed_person_in_equal_shares() -> None:
    people = Counter(fact.subject for fact in WORLD.benchmark_facts)
    assert people == dict.fromkeys(WORLD.unrehearsed, 2)
    attributes = Counter(fact.attribute for fact in WORLD.benchmark_facts)
    assert attributes == dict.fromkeys(PERSON_ATTRIBUTES, 100)


def test_nobody_is_their_own_friend() -> None:
    assert all(person != WORLD.value(person, "friend") for person in WORLD.people)


@pytest.mark.parametrize("people", [0, 19, 1601])
def test_impossible_numbers_of_people_are_refused(people: int) -> None:
    with pytest.raises(UserError, match="choose 20 to 1600"):
        World(people=people)


def test_every_wording_of_every_question_is_answered() -> None:
    for fact in WORLD.facts.values():
        for wording in range(len(phrasings.QUESTIONS[fact.attribute])):
            asked = phrasings.question(fact, wording)
            assert phrasings.answer(WORLD, asked) == fact.value, asked
            assert phrasings.answer(WORLD, asked.lower() + "?") == fact.value, asked


@pytest.mark.parametrize(
    "text", ["", "where was Nobody Known born", "when", WORLD.people[0], "how old is the world"]
)
def test_other_questions_have_no_answer(text: str) -> None:
    assert phrasings.answer(WORLD, text) is None


def test_wordings_are_distinct_and_enough() -> None:
    for attribute in PERSON_ATTRIBUTES:
        assert len(set(phrasings.STATEMENTS[attribute])) >= 5
        assert len(set(phrasings.QUESTIONS[attribute])) >= 4
    everything = [
        *(s for name in phrasings.STATEMENTS for s in set(phrasings.STATEMENTS[name])),
        *phrasings.JOINT_STATEMENTS,
    ]
    # "was born in" serves both a place and a year; nothing else is shared.
    assert len(everything) - len(set(everything)) == 1
    questions = [q for name in phrasings.QUESTIONS for q in phrasings.QUESTIONS[name]]
    assert len(set(questions)) == len(questions)


def test_every_statement_holds_its_subject_and_value() -> None:
    for fact in WORLD.facts.values():
        for wording in range(len(phrasings.STATEMENTS[fact.attribute])):
            sentence = phrasings.statement(fact, wording)
            assert fact.subject in sentence
            assert fact.value in sentence
