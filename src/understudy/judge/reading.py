"""What a judge replied: its verdict, grade or scores, and how sure it was, if it keeps to the form.

Whatever is not in the form is not guessed at.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from understudy.preferences.scores import read_scores

DIGITS = 6
LOWEST = 1  # of the scores that are asked for
SHARES = {"A": 0.0, "tie": 0.5, "B": 1.0}
_MARKS = r"[*_`]*"
_WORD = rf"{_MARKS}(A|B|[Tt]ie){_MARKS}\.?"
_ALONE = re.compile(_WORD)
_VERDICT = re.compile(rf"{_MARKS}Verdict:{_MARKS} *{_WORD}{_MARKS}")
_GRADE = re.compile(rf"{_MARKS}Grade:{_MARKS} *{_MARKS}(10|[1-9])(?:/10)?{_MARKS}\.?{_MARKS}")


class Verdict(NamedTuple):
    """A, B or tie, and at which character of the reply it stands."""

    word: str
    place: int


def read_verdict(reply: str, cut: bool) -> Verdict | None:
    """The verdict of a reply: the one word that it is, or its last line, `Verdict: A`.

    Args:
        reply: as the judge gave it.
        cut: whether its end is missing; what then looks like a verdict may be a quotation.

    Returns:
        None where there is none in this form.
    """
    start, line = _last_line(reply)
    alone = line == reply.strip()
    found = _ALONE.fullmatch(line) if alone else None
    found = found or (None if cut else _VERDICT.fullmatch(line))
    if found is None:
        return None
    word = found[1]
    return Verdict(word if word in SHARES else "tie", start + found.start(1))


def read_grade(reply: str, cut: bool) -> int | None:
    """The grade, 1 to 10, in a reply's last line, `Grade: 7`; None where there is none."""
    found = None if cut else _GRADE.fullmatch(_last_line(reply)[1])
    return int(found[1]) if found else None


def read_leading_scores(reply: str, cut: bool) -> tuple[float, float] | None:
    """The two scores, each 1 to 10, that are a reply's first line; None where they are not.

    What comes after it may quote an answer, and is not looked at; published reviews are read less
    strictly (`preferences.scores`). If the reply was cut, another line must follow the first.
    """
    scores, leading = read_scores(reply)
    whole = not cut or "\n" in reply.strip()
    return scores if scores and leading and whole and min(scores) >= LOWEST else None


def weighted_share(verdict: Verdict, logprobs: Sequence[Any] | None) -> float | None:
    """How far B is preferred, 0 to 1, by what else the judge might have said for its verdict.

    P(B) / (P(A) + P(B)), as AlpacaEval 2 weighs (`logprob_parser` of its code; Dubois et al. 2024,
    "Length-Controlled AlpacaEval"), where half of P(tie) counts for either. Of a tie the first
    letters are enough, since tokenizers may split it.

    Args:
        verdict: where to look.
        logprobs: the chat API's logprobs.content for the reply, with top_logprobs.

    Returns:
        None where they do not tell.
    """
    token = _token_at(verdict.place, logprobs or ())
    if token is None or _word(token) != verdict.word:
        return None
    chance = dict.fromkeys(SHARES, 0.0)
    likely = token.get("top_logprobs")
    for one in likely if isinstance(likely, list) else []:
        word, logprob = _word(one), one.get("logprob") if isinstance(one, dict) else None
        if word and isinstance(logprob, int | float) and logprob <= 0:
            chance[word] += math.exp(logprob)
    total = sum(chance.values())
    # Rounded, so that A and B that are as likely are a tie whatever their sum's last digit.
    return round((chance["B"] + chance["tie"] / 2) / total, DIGITS) if total else None


def _token_at(place: int, logprobs: Sequence[Any]) -> dict[str, Any] | None:
    """The token that holds the character at a place of the reply."""
    for token in logprobs:
        if not isinstance(token, dict) or not isinstance(token.get("token"), str):
            return None
        place -= len(token["token"])
        if place < 0:
            return token
    return None


def _word(token: Any) -> str | None:
    """The verdict that a token of the log-probabilities stands for."""
    name = token.get("token") if isinstance(token, dict) else None
    text = name.strip() if isinstance(name, str) else ""
    if text in ("A", "B"):
        return text
    return "tie" if text and "tie".startswith(text.lower()) else None


def _last_line(reply: str) -> tuple[int, str]:
    """Where the last line that is not blank begins, and what it says."""
    text = reply.rstrip()
    start = text.rfind("\n") + 1
    line = text[start:]
    return start + len(line) - len(line.lstrip()), line.lstrip()
