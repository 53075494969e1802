"""Equality of dialogues up to case, white space and Unicode composition, and what is compared."""

import hashlib
import unicodedata
from typing import Literal

import numpy as np

from understudy.dialogue import Dialogue
from understudy.files import canonical_json

Of = Literal["both", "prompts", "answers"]
ROLES: dict[Of, tuple[str, ...]] = {
    "both": ("system", "user", "assistant"),
    "prompts": ("user",),
    "answers": ("assistant",),
}


def normalised(text: str) -> str:
    """The text in Unicode NFC, case-folded, every run of white space one space."""
    return " ".join(unicodedata.normalize("NFC", text.casefold()).split())


def dialogue_key(dialogue: Dialogue, of: Of = "both") -> bytes:
    """16 bytes, equal for dialogues whose turns `of` that kind are equal once normalised."""
    compared = [t for t in dialogue.turns if t.role in ROLES[of]]
    return _hash([[turn.role, normalised(turn.content)] for turn in compared])


def prompt_key(dialogue: Dialogue) -> int:
    """64 bits that are equal for dialogues with the same normalised first user turn."""
    return int.from_bytes(_hash(normalised(dialogue.prompt))[:8], "little")


def compared_text(dialogue: Dialogue, of: Of) -> str:
    """The text in which near-duplicates are looked for."""
    return "\n".join(turn.content for turn in dialogue.turns if turn.role in ROLES[of])


def equals(keys: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """For each key the index of the equal one of lowest rank; -1 where that is itself.

    Args:
        keys: uint64, shape (n, 2).
        rank: preference, shape (n,); no two are alike.
    """
    order = np.lexsort((rank, keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    opens = np.ones(len(keys), dtype=bool)
    opens[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = order[opens][np.cumsum(opens) - 1]
    found = np.full(len(keys), -1, dtype=np.int64)
    found[order] = np.where(first == order, -1, first)
    return found


def _hash(value: object) -> bytes:
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=16).digest()
