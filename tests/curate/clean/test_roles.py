"""Faults of dialogues as a whole, and what is trimmed from them."""

import pytest

from curate.clean.talk import dialogue
from understudy.curate.clean import fault, trim


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ("", "empty"),
        ("s", "empty"),
        ("u", "no_answer"),
        ("su", "no_answer"),
        ("a", "roles"),
        ("au", "roles"),
        ("uua", "roles"),
        ("uaa", "roles"),
        ("ssua", "roles"),
        ("usa", "roles"),
        ("ua", None),
        ("sua", None),
        ("uaua", None),
        ("aua", None),
        ("saauau", None),
    ],
)
def test_roles(shape: str, code: str | None) -> None:
    found = fault(trim(dialogue(shape)))
    assert (found[0] if found else None) == code


def test_blank_turns_and_cut_answers() -> None:
    assert fault(dialogue("ua", " \n", "b")) == ("empty_prompt", "turn 1 is blank")
    assert fault(dialogue("uaua", "a", "b", "c", "\t")) == ("empty_answer", "turn 4 is blank")
    assert fault(dialogue("sua", "", "a", "b")) is None
    assert fault(dialogue("ua", cut=True)) == ("cut", "the last answer was cut short")


def test_trim_takes_what_is_no_pair_at_either_end() -> None:
    assert [turn.content for turn in trim(dialogue("uauu")).turns] == ["0", "1"]
    assert [turn.content for turn in trim(dialogue("saaua")).turns] == ["0", "3", "4"]
    whole = dialogue("uaua")
    assert trim(whole) is whole
    assert trim(dialogue("uu")) == dialogue("uu")
    assert trim(dialogue("au")) == dialogue("au")
