"""Dialogues for these tests."""

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
