"""Faults of dialogues, equality up to form, and the choice of held-out prompts."""

import random

import pytest

from understudy.curate.clean import fault, trim
from understudy.curate.dedupe import dialogue_key, normalised, prompt_key
from understudy.curate.split import heldout_prompts
from understudy.dialogue import Dialogue, Turn

ROLES = {"s": "system", "u": "user", "a": "assistant"}


def dialogue(shape: str, *texts: str, cut: bool = False) -> Dialogue:
    """A dialogue whose roles are the letters of `shape`; texts default to the turn's number."""
    texts = texts or tuple(str(number) for number in range(len(shape)))
    turns = [
        Turn.model_validate({"role": ROLES[letter], "content": text})
        for letter, text in zip(shape, texts, strict=True)
    ]
    return Dialogue(id="x", turns=turns, source="test", cut=cut)


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


def test_trim_takes_trailing_user_turns_only() -> None:
    assert [turn.content for turn in trim(dialogue("uauu")).turns] == ["0", "1"]
    whole = dialogue("uaua")
    assert trim(whole) is whole
    assert trim(dialogue("uu")) == dialogue("uu")


def test_equality_up_to_form() -> None:
    assert normalised("  Caf\u0065\u0301\n\tIS ") == normalised("café is")
    same = dialogue("ua", "Hello  there", "STRASSE"), dialogue("ua", "hello there", "straße")
    assert dialogue_key(same[0]) == dialogue_key(same[1])
    assert dialogue_key(dialogue("ua", "a", "b")) != dialogue_key(dialogue("ua", "b", "a"))
    assert dialogue_key(dialogue("ua", "a b", "c")) != dialogue_key(dialogue("ua", "a", "b c"))
    assert dialogue_key(dialogue("ua", "a.", "b")) != dialogue_key(dialogue("ua", "a", "b"))
    assert prompt_key(dialogue("sua", "s", "A", "b")) == prompt_key(dialogue("ua", "a", "c"))


def keys(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_heldout_size() -> None:
    assert len(heldout_prompts(keys(100), 0.1, 50, 0)) == 10
    assert len(heldout_prompts(keys(100), 0.9, 50, 0)) == 50
    assert len(heldout_prompts(keys(2), 0.01, 50, 0)) == 1
    assert len(heldout_prompts(keys(2), 1.0, 50, 0)) == 1
    assert heldout_prompts(keys(100), 0.0, 50, 0) == set()
    assert heldout_prompts(keys(1) * 5, 0.5, 50, 0) == set()
    assert heldout_prompts([], 0.5, 50, 0) == set()


def test_heldout_counts_dialogues_and_splits_no_prompt() -> None:
    prompts = keys(1) * 50 + keys(40)
    random.Random(0).shuffle(prompts)
    for seed in range(20):
        chosen = heldout_prompts(prompts, 0.2, 12, seed)
        assert 0 < sum(prompt in chosen for prompt in prompts) <= 12
    assert len(heldout_prompts([b"a", b"a", b"b", b"b", b"b"], 0.2, 1, 0)) == 1


def test_heldout_depends_on_seed_and_not_on_order() -> None:
    prompts = keys(200)
    shuffled = random.Random(1).sample(prompts, len(prompts))
    chosen = heldout_prompts(prompts, 0.1, 50, 0)
    assert heldout_prompts(shuffled, 0.1, 50, 0) == chosen
    assert heldout_prompts(prompts, 0.1, 50, 1) != chosen
    assert chosen < heldout_prompts(prompts, 0.2, 50, 0)
