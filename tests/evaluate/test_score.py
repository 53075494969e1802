"""Normalisation, and what is read out of a teacher's replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.conftest import ADD, DOUBLE
from understudy.evaluate.benchmarks.kinds import CodeItem
from understudy.evaluate.engines.api import letter_in, program_in
from understudy.evaluate.engines.generate import until
from understudy.evaluate.score import harness_form, plain_form


@pytest.mark.parametrize(
    ("given", "gold", "harness", "corrected"),
    [
        ("Paris", "paris", True, True),
        ("the Eiffel Tower", "Eiffel tower!", True, True),
        ("An apple a day", "apple day", True, True),
        ("banana", "bnn", False, False),  # letters inside words stay
        ("Atheism", "ism", False, False),
        ("Paris ", "Paris", False, True),  # space before the stop text
        ("THE BEATLES", "Beatles", False, True),
        ("New  York", "New York", False, True),
        ("U.S.A.", "usa", True, True),
        ("plan a", "plan", False, True),
        ("", "the", False, True),
        ("1984", "1985", False, False),
    ],
)
def test_forms_of_answers(given: str, gold: str, harness: bool, corrected: bool) -> None:
    assert (harness_form(given) == harness_form(gold)) is harness
    assert (plain_form(given) == plain_form(gold)) is corrected


@given(st.text(max_size=40))
def test_plain_form_is_final(text: str) -> None:
    once = plain_form(text)
    assert once == once.strip()
    assert plain_form(f"The {text}!") == plain_form(text)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        (" (c) ", "C"),
        ("**D**", "D"),
        ("A.", "A"),
        ("B. Paris", "B"),
        ("The right option is C. It is known.", "C"),
        ("The correct option is **A**", "A"),
        ("Answer: D", "D"),
        ("A is right.", "A"),
        ("I would say B", "B"),
        ("A dog may well be right", None),
        ("Either B or C", None),
        ("I am sorry, but I have no reliable information about that.", None),
        ("", None),
    ],
)
def test_letters_in_replies(reply: str, letter: str | None) -> None:
    assert letter_in(reply) == letter


def item(row: dict[str, str]) -> CodeItem:
    return CodeItem(row["task_id"], row["prompt"], row["entry_point"], row["test"])


WHOLE = "def floor_half(a):\n    return math.floor(half(a))\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{WHOLE}```",
        f"Certainly! Here it is:\n\n```\n{WHOLE}\n```\n\nI hope this helps!",
        WHOLE,
        f"```python\n{WHOLE}",  # cut
        DOUBLE["canonical_solution"],
        f"```python\nimport math\n\ndef half(a):\n    return a / 2\n\n{WHOLE}```",
    ],
)
def test_programs_in_replies_run(reply: str) -> None:
    names: dict[str, object] = {}
    exec(program_in(reply, item(DOUBLE)) + DOUBLE["test"] + "\ncheck(floor_half)", names)


def test_a_program_is_not_run_with_the_prompts_own_head() -> None:
    source = program_in("```\ndef add(a, b):\n    return b + a\n```", item(ADD))
    assert source.count("def add") == 1


def test_until_takes_the_first_stop_text() -> None:
    assert until("one, two. three", (".", ",")) == "one"
    assert until("none", (".",)) == "none"
    assert until("all", ()) == "all"
