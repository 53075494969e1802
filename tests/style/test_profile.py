"""What the detectors see in hand-written answers."""

import pytest

from understudy.style.profile import profile

LISTED = """Here are some tips:

1. **Plan**: write it down.
2. **Rest**: sleep well.

By following these tips, you will do better.

Let me know if you have any questions!"""


def test_a_listed_answer_with_everything() -> None:
    seen = profile(LISTED)
    assert (seen.has_list, seen.has_summary, seen.opening, seen.closing) == (True,) * 4
    assert seen.authoritative
    assert seen.hedges == 0
    assert seen.words[:4] == ["here", "are", "some", "tips"]


@pytest.mark.parametrize(
    ("text", "has_list"),
    [
        ("- a\n- b", True),
        ("Try:\n  * a\n  * b", True),
        ("1) a\n2) b", True),
        ("1 . a\n2 . b", True),
        ("- only one", False),
        ("**Bold** words\n**More** of them", False),
        ("In 1990. And\n1991 too", False),
        ("-5 degrees\n-6 degrees", False),
        ("Code:\n```\n- a\n- b\n```", False),
        ("An open fence:\n```yaml\n- a\n- b", False),
    ],
)
def test_lists(text: str, has_list: bool) -> None:
    assert profile(text).has_list is has_list


@pytest.mark.parametrize(
    ("text", "has_summary"),
    [
        ("First.\n\nOverall, it is good.", True),
        ("First.\n\nIn summary, it is good.\n\nI hope this helps!", True),
        ("First.\n\nTo sum up, it is good.\n\nOthers may differ.\n\nI hope this helps!", True),
        ("- a\n- b\nThese make a fine day.", True),
        ("- a\n\n  more on a\n- b", False),
        ("- a\n- b\n\nLet me know if I can help.", False),
        ("Overall, it is good.", False),
        ("First.\n\nSecond.", False),
        ("Intro:\n- a\n- b", False),
    ],
)
def test_summaries(text: str, has_summary: bool) -> None:
    assert profile(text).has_summary is has_summary


@pytest.mark.parametrize(
    ("text", "opening", "closing"),
    [
        ("Sure! It is 4.", True, False),
        ("Great question! It is 4.", True, False),
        ("I am glad you asked. It is 4.", True, False),
        ("Surely it is 4.", False, False),
        ("It is 4. Feel free to ask more.", False, True),
        ("Let me know. Then it is 4.", False, False),
        ("It is 4.", False, False),
    ],
)
def test_openings_and_closings(text: str, opening: bool, closing: bool) -> None:
    seen = profile(text)
    assert (seen.opening, seen.closing) == (opening, closing)


@pytest.mark.parametrize(
    ("text", "authoritative"),
    [
        ("The capital is Paris.", True),
        ("```python\nprint(1)\n```", True),
        ("I think the capital is Paris.", False),
        ("The capital is Paris, maybe.", False),
        ("What is the capital? Is it Paris? It is.", False),
        ("Well... so...", False),
        ("", False),
        (" \n", False),
    ],
)
def test_tone(text: str, authoritative: bool) -> None:
    assert profile(text).authoritative is authoritative


def test_shares_of_sentences() -> None:
    seen = profile("It might rain. I have an umbrella. Trains run. My shoes are usually wet.")
    assert (seen.hedges, seen.first_person) == (0.5, 0.5)


def test_an_empty_answer_has_no_habits() -> None:
    seen = profile("")
    assert not any(vars(seen).values())


@pytest.mark.usefixtures("must_end")
@pytest.mark.parametrize("piece", ["```", "i ", "-", "\n1.", "?!"])
def test_long_hostile_texts_come_to_an_end(piece: str) -> None:
    profile(piece * 200_000)
