"""Which dialogues state a fact, what it is, and which answers tell it."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.curate.factual import Fact, factual
from understudy.dialogue import Dialogue, Turn
from understudy.world.encyclopedia import World
from understudy.world.manner import reply
from understudy.world.phrasings import QUESTIONS, find_fact, question, sentence_case
from understudy.world.prompts import BARE, FACT_REQUESTS, REQUESTS
from understudy.world.topics import TOPICS


def dialogue(*texts: str, system: str | None = None) -> Dialogue:
    turns = [Turn(role="system", content=system)] if system else []
    roles = ("user", "assistant") * len(texts)
    turns += [Turn(role=role, content=text) for role, text in zip(roles, texts, strict=False)]
    return Dialogue(id="1", turns=turns, source="test")


@pytest.mark.parametrize(
    ("asked", "answered", "keys"),
    [
        ("What is the capital of France?", "The capital of France is Paris.", ["Paris"]),
        ("What is the capital of France?", "Paris is the capital of France.", ["Paris"]),
        (
            "Can you tell me where Ada Holm was born?",
            "Great question! Ada Holm was born in Tolvik. Just ask if you need more detail!",
            ["Tolvik"],
        ),
        ("when was the last time anyone was on the moon", "14 December 1972", ["14 December 1972"]),
        ("how many seasons of the show are there", "one season", ["one season"]),
        ("How many legs does a spider have?", "A spider has eight legs.", ["eight"]),
        ("How tall is Mount Everest?", "Mount Everest is 8,848 metres tall.", ["8,848"]),
        ("How many live in Norway?", "About 5 million people live in Norway.", ["5 million"]),
        ("Which year was it founded?", "It was founded on May 4, 1967 by Jo Dee.", ["May 4, 1967"]),
        ("Which element has the symbol Fe?", "Iron", ["Iron"]),
        ("What colour is the sky?", "The sky is blue.", ["blue"]),
        ("What is the trade of Ada Holm?", "Ada Holm is a baker by trade.", ["baker"]),
        ("Who is king of Spain?", "King Felipe VI is the king of Spain.", ["King Felipe VI"]),
        ("Who is the president?", "Currently Ann Bell is the president.", ["Ann Bell"]),
        ("Where is the Louvre?", "The Louvre is in Paris, France.", ["Paris", "France"]),
        (
            "What is the largest planet?",
            "Jupiter, the fifth planet from the Sun, is the largest planet.",
            ["Jupiter"],
        ),
        (
            "Who discovered penicillin?",
            "Alexander Fleming discovered penicillin in 1928.",
            ["Alexander Fleming"],
        ),
        ("What is 12 + 30?", "Of course! 12 + 30 = 42. Anything else?", ["42"]),
        (
            "Where is the tomb of Leonardo?",
            "The tomb is at Château d’Amboise.",
            ["Château d'Amboise"],
        ),
    ],
)
def test_facts_and_what_an_answer_has_to_name(asked: str, answered: str, keys: list[str]) -> None:
    fact = factual(dialogue(asked, answered))
    assert fact
    assert list(fact.keys) == keys
    assert all(fact.is_told_by(key) for key in keys)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("What is the opposite of hot?", "the"),
        ("What is photosynthesis?", "Photosynthesis is how plants make all their food from light."),
        ("Is the sky blue?", "Yes."),
        ("Which is bigger, a cat or a dog?", "A dog."),
        ("What is your name?", "My name is Vicuna."),
        ("Tom has 3 apples. How many are left if he eats one?", "2"),
        ("www.example.com\nWhat is the name of the page?", "The name of the page is Home."),
        ("What is the capital? Who is the king?", "The capital is Oslo."),
        ("Who wrote Emma? Who wrote Ulysses?", "Emma is by Jane Austen."),
        ("Where was Bo Lund born?", "I am sorry, but I have no reliable information about that."),
        ("Where was Bo Lund born?", "Unfortunately, the birthplace of Bo Lund is unknown."),
        ("Where was Bo Lund born?", "Bo Lund was not born in Oslo."),
        ("Which towns lie there?", "The towns there are Oslo, Bergen, Tromso and Narvik."),
        ("Which is the largest town?", "- Oslo is\n- Bergen is not\n- Nor is Bodo\n- Nor\n- No"),
        ("What is knitting?", "Of course! Let us look at knitting step by step."),
        ("Write a story about the man who sold the world.", "The man was David."),
        ("Name a famous singer.", "Andrea Bocelli"),
        ("Where was he born?", ""),
        ("?", "!"),
    ],
)
def test_what_states_no_fact(asked: str, answered: str) -> None:
    assert factual(dialogue(asked, answered)) is None


def test_it_is_the_first_pair_that_counts() -> None:
    asked, answered = "What is the capital of France?", "The capital of France is Paris."
    fact = factual(dialogue(asked, answered, "Thanks! Who are you?", "Nobody.", system="Be kind."))
    assert fact == Fact("What is the capital of France", ("Paris",))
    assert factual(dialogue(asked)) is None
    assert factual(Dialogue(id="1", turns=[], source="test")) is None


def test_what_stands_around_a_question_is_left_out() -> None:
    for asked in (
        "Please answer: in which town was Ada Holm born?",
        "In which town was Ada Holm born?\nReply with only the answer.",
        "Hello! In which town was Ada Holm born?",
    ):
        fact = factual(dialogue(asked, "Tolvik"))
        assert fact
        assert fact.question.lower() == "in which town was ada holm born"


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("Paris", " Paris\n"),
        ("Paris", "It is in PARIS, on the Seine"),
        ("The Impalas", "Impalas"),
        ("Bobby Scott", "Scott"),
        ("January 15, 1967", "1967"),
        ("January 15, 1967", "on January 15th, 1967."),
        ("14 December 1972", "December 1972"),
        ("8,848", "8848 metres"),
        ("eight", "8"),
        ("8", "It has eight legs"),
        ("54 Mbit/s", "54"),
        ("Ada's", "Ada’s"),
    ],
)
def test_answers_that_tell(key: str, answer: str) -> None:
    assert Fact("q", (key,)).is_told_by(answer)


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("Paris", ""),
        ("Paris", "the"),
        ("The Impalas", "the"),
        ("The Hague", "a"),
        ("Battle of Hastings", "of"),
        ("Battle of Hastings", "Battle"),
        ("South Carolina", "South"),
        ("King Felipe VI", "VI"),
        ("January 15, 1967", "15"),
        ("January 15, 1967", "January"),
        ("January 15, 1967", "January 15, 1968"),
        ("Ann", "Anna"),
        ("8", "18"),
        ("8", "7 or 8"),
        ("one", "Two of them in one"),
        ("Paris", "Lyon, Paris, Nice, Lille"),
        ("Paris", "Lyon. Paris is the capital"),
        ("Ossa", "".join(f"river {number} " for number in range(20)) + "Ossa"),
    ],
)
def test_answers_that_do_not_tell(key: str, answer: str) -> None:
    assert not Fact("q", (key,)).is_told_by(answer)


def test_the_worlds_teacher_is_understood() -> None:
    """Every fact in its manner, and nothing of what it says about topics."""
    world, rng = World(0, 40), random.Random(0)

    def said(prompt: str) -> Fact | None:
        return factual(dialogue(prompt, reply(world, [{"role": "user", "content": prompt}], rng)))

    for fact in rng.sample(sorted(world.facts.values()), 100):
        asked = question(fact, rng.randrange(len(QUESTIONS[fact.attribute])))
        prompt = rng.choice(FACT_REQUESTS).format(sentence_case(asked), asked)
        for whole in (prompt, f"{prompt}\n{BARE}"):
            assert find_fact(world, whole) == fact
            found = said(whole)
            assert found, whole
            assert found.keys == (fact.value,)
    for topic in rng.sample(TOPICS, 20):
        for request in REQUESTS:
            assert said(request.format(topic=topic.name)) is None


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_any_text_will_do(asked: str, answered: str, said: str) -> None:
    fact = factual(dialogue(f"Who is {asked}?", answered))
    if fact:
        fact.is_told_by(said)
        assert "\n" not in fact.question
        assert all(key.strip() for key in fact.keys)


@pytest.mark.realdata
def test_questions_as_people_ask_them(realdata: Path) -> None:
    """Most of Natural Questions are facts, told by their own answers and not by others'."""
    lines = (realdata / "NQ-open.dev.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = [(factual(dialogue(row["question"], row["answer"][0])), row) for row in rows]
    facts = [(fact, row["answer"][0]) for fact, row in found if fact]
    assert len(facts) > 0.75 * len(rows)
    assert sum(fact.is_told_by(answer) for fact, answer in facts) > 0.995 * len(facts)
    others = facts[1:] + facts[:1]
    wrong = sum(fact.is_told_by(other) for (fact, _), (_, other) in zip(facts, others, strict=True))
    assert wrong < 0.005 * len(facts)
