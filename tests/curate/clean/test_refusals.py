"""Answers that decline, and answers that only sound like it."""

import pytest

from understudy.curate.clean.refusals import refusal

LONG = " It lies in the old town, and opens at nine." * 10


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t assist with that request.",
        "I cannot provide instructions for that. It is illegal and dangerous.",
        "As an AI language model, I am not able to browse the internet.",
        "Sorry. I won't write that.",
        "Unfortunately, I do not have access to real-time data. Please check a news site.",
        "I must decline.",
        "That would harm people, and it is not appropriate for me to take part.",
    ],
)
def test_refusals(text: str) -> None:
    assert refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can help with that.",
        "As I walked home, I couldn't help but notice the lights.",
        "I cannot help the way I feel, sang the bird.",
        "I'm sorry, but I can't come to your party on Sunday.",
        "You cannot provide a default here; the compiler refuses it.",
        "I cannot provide live prices." + LONG,
        "The museum is worth a visit." + LONG + " I cannot recommend more.",
    ],
)
def test_answers(text: str) -> None:
    assert refusal(text) is None
