"""Equality of texts and dialogues up to case, white space and Unicode composition."""

import unicodedata

from understudy.dialogue import Dialogue
from understudy.files import digest


def normalised(text: str) -> str:
    """The text in Unicode NFC, case-folded, every run of white space one space."""
    return " ".join(unicodedata.normalize("NFC", text.casefold()).split())


def dialogue_key(dialogue: Dialogue) -> bytes:
    """16 bytes that are equal for dialogues with the same roles and the same normalised turns."""
    turns = [[turn.role, normalised(turn.content)] for turn in dialogue.turns]
    return bytes.fromhex(digest(turns))[:16]


def prompt_key(dialogue: Dialogue) -> bytes:
    """16 bytes that are equal for dialogues with the same normalised first user turn."""
    return bytes.fromhex(digest(normalised(dialogue.prompt)))[:16]
