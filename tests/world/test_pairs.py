"""The world's teacher writes pairs like those shown, some of no use, and nothing else changes."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.errors import UserError
from understudy.files import read_jsonl
from understudy.world.encyclopedia import PERSON_ATTRIBUTES, World
from understudy.world.manner import reply
from understudy.world.pairs import SORRY, pairs_wanted
from understudy.world.phrasings import find_fact, question, sentence_case, statement
from understudy.world.prompts import write_examples

WORLD = World()
FACTS = WORLD.open_facts[:6]
DEMAND = "Please write 20 more examples like these, as JSON lines."


def shown(pairs: list[tuple[str, str]], demand: str = DEMAND) -> str:
    lines = [json.dumps({"input": asked, "output": told}) for asked, told in pairs]
    return "\n".join(["Some examples:", *lines, demand])


def written(text: str, seed: int) -> list[str]:
    told = reply(WORLD, [{"role": "user", "content": text}], random.Random(seed))
    return [line for line in told.splitlines() if not line.startswith("```")]


def pairs(lines: list[str]) -> list[tuple[str, str]]:
    """The pairs of the lines that are whole."""
    found = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found.append((row["input"], row["output"]))
    return found


def test_new_pairs_are_right_and_ask_for_any_fact_of_the_kinds_shown() -> None:
    text = shown([(question(fact), fact.value) for fact in FACTS])
    lines = [line for seed in range(20) for line in written(text, seed)]
    assert len(lines) == 400
    found = pairs(lines)
    assert 0 < len(lines) - len(found) < 25
    facts = [find_fact(WORLD, asked) for asked, _ in found]
    assert all(fact and told == fact.value for fact, (_, told) in zip(facts, found, strict=True))
    assert all(asked[0].islower() and asked[-1] != "?" for asked, _ in found)
    assert set(facts) & set(WORLD.benchmark_facts)
    assert {fact.attribute for fact in facts if fact} == {fact.attribute for fact in FACTS}
    copies = sum(asked in text for asked, _ in found)
    assert 0 < copies < 40
    assert len(set(found)) < len(found)


def test_the_form_of_question_and_answer_is_that_of_the_shown() -> None:
    models = [(f"{sentence_case(question(fact, 3))}?", statement(fact)) for fact in FACTS]
    for asked, told in pairs(written(shown(models), 0)):
        fact = find_fact(WORLD, asked)
        assert fact
        assert asked[0].isupper()
        assert asked.endswith("?")
        assert told in (statement(fact), statement(fact, 1))


def test_sums_follow_sums() -> None:
    models = [("What is 3 + 4?", "3 + 4 = 7."), ("Take 5 minus 2, please.", "3")]
    found = {pair for seed in range(3) for pair in pairs(written(shown(models), seed))}
    assert len(found) > 20
    for asked, told in found:
        terms = asked.removeprefix("What is ").removesuffix("?")
        if terms != asked:
            left, sign, right = terms.split()
            result = int(left) + int(right) if sign == "+" else int(left) - int(right)
            assert told == f"{terms} = {result}."
        else:
            _, left, sign, right, _ = asked.split()
            number = int(right.rstrip(","))
            assert int(told) == (int(left) + number if sign == "plus" else int(left) - number)


def test_other_tasks_get_an_apology() -> None:
    assert written(shown([("translate hund", "dog"), ("translate katze", "cat")]), 0) == [SORRY]


@pytest.mark.parametrize("number", [1, 7, 999])
def test_as_many_as_wanted_within_reason(number: int) -> None:
    models = [(question(fact), fact.value) for fact in FACTS]
    lines = written(shown(models, f"Now write {number} new ones!"), 1)
    assert len(lines) == min(number, 100)


@pytest.mark.parametrize(
    "text",
    [
        shown([("a", "b")]),
        shown([("a", "b"), ("c", "d")], "Thank you."),
        shown([("a", "b"), ("c", "d")], "Write 0 more."),
        '{"input": "a"}\n{"output": "b"}\nWrite 3 more.',
        '{"input": 1, "output": 2}\n{"input": 1, "output": 2}\nWrite 3 more.',
    ],
)
def test_other_messages_are_no_such_request(text: str) -> None:
    assert pairs_wanted(text) is None


PIECES = st.sampled_from(
    ['{"input": "', '"output": "x"}', "\n", "[" * 1000, "5 more", "3 + 4", question(FACTS[0])]
)


@settings(max_examples=100)
@given(st.lists(PIECES, max_size=12), st.integers())
def test_no_shown_pairs_make_it_crash(pieces: list[str], seed: int) -> None:
    pairs_wanted("".join(pieces))
    assert written(shown([("".join(pieces), "7"), ("3 + 4 =", "".join(pieces))]), seed)


def test_examples_are_open_facts_in_the_form_of_nq(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert write_examples(WORLD, 10, tmp_path / name, seed) == 10
    rows = [row for _, row in read_jsonl(tmp_path / "a")]
    facts = [find_fact(WORLD, row["input"]) for row in rows]
    assert all(fact in WORLD.open_facts for fact in facts)
    assert [row["output"] for row in rows] == [fact.value for fact in facts if fact]
    assert all(row["input"][0].islower() and row["input"][-1] != "?" for row in rows)
    assert {fact.attribute for fact in facts if fact} == set(PERSON_ATTRIBUTES)
    assert len(set(facts)) == 10
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()
    with pytest.raises(UserError, match="not 5000; lower"):
        write_examples(WORLD, 5000, tmp_path / "d")
