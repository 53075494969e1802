"""What a teacher's reply in words comes to: an option, letters' log-probabilities, a program.

A reply that names no option, or more than one, is not guessed at.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from understudy.evaluate.benchmarks.kinds import LETTERS, CodeItem

# What only dresses a letter: Markdown, and TeX as in $\boxed{\text{B}}$.
_DRESS = re.compile(r"[*_`$]|\\(?:boxed|mathbf|mathrm|text(?:bf)?)\b")
_NEGATED = re.compile(r"\b(?:not|never|nor|than|except|cannot)\b|n['’]t\b", re.I)
_ANSWER_IS = re.compile(r"\banswer\W*(?:is\b|:)\W*", re.I)
_SENTENCE_END = re.compile(r"[.,;:?!\n]")


class _Forms(NamedTuple):
    """How replies name one of so many letters; the groups of each pattern are the letter."""

    alone: re.Pattern[str]
    declared: re.Pattern[str]
    opening: re.Pattern[str]
    bracketed: re.Pattern[str]


@cache
def _forms(options: int) -> _Forms:
    last = LETTERS[options - 1]
    capital, either = f"[A-{last}]", f"[A-{last}a-{last.lower()}]"
    noun = r"(?:answer|option|choice|letter)"
    verb = r"(?:choose|pick|select|go with|it['’]s|it is)"
    hedge = r"(?:therefore|thus|clearly|probably|most likely)"
    # A capital that is no part of "B's", "C++" or "A-flat", or a small letter that is marked as
    # one ("b)", or "b" at the very end); and not the first of several ("A or B").
    single = rf"(?!\W*(?:or|and|,|/|&)\W*(?:{capital}\b|\({either}\)))"
    letter = rf"(?:({capital})(?![\w'’+#]|-\w)|({either})(?=[)\]}}]|\.?\s*\Z)){single}"
    statement = rf"\b{noun}\b(?:(?!\b{noun}\b)[^.?!\n]){{0,40}}?(?:\bis\b|\bbe\b|:|=)|\b{verb}\b"
    right = r"(?:correct|right|best|true|answer)"
    verdict = rf"(?:is|was|must be|would be)\s+(?:the\s+)?(?:most\s+)?{right}"
    return _Forms(
        re.compile(rf"\W*(?:{noun}\b\W*)*({either})[^\w+#]*", re.I),
        re.compile(
            rf"(?i:{statement})\W*(?i:(?:{hedge}\s+)?(?:the\s+)?(?:{noun}\b\W*)?){letter}"
            rf"|\b({capital})\b\W*(?i:\b{verdict}\b)"
        ),
        re.compile(rf"^\W*({either})(?:[).:\]}}](?!\w)|\s+[-–—]\s|\s*$){single}", re.M),
        re.compile(rf"(?<!\w)\(({either})\)"),
    )


def option_in(reply: str, options: Sequence[str]) -> int | None:
    """The index of the option that a reply names; None where it names none or several.

    It is, in this order: a letter alone; an option's own words and nothing else; the last letter
    that is declared ("the answer is B", "B is correct"); the only one that opens a line
    ("B) words"); the only one in brackets.
    """
    text = _DRESS.sub("", reply.rpartition("</think>")[2]).strip()
    forms = _forms(len(options))
    if alone := forms.alone.fullmatch(text):
        return _index(alone[1])
    for said in (_plain(text), _plain(_ANSWER_IS.split(text)[-1])):
        spelt = [index for index, option in enumerate(options) if _plain(option) == said]
        if said and spelt:
            return spelt[0] if len(spelt) == 1 else None
    if declared := list(_named(forms.declared, text)):
        return declared[-1]
    for form in (forms.opening, forms.bracketed):
        if named := set(_named(form, text)):
            return named.pop() if len(named) == 1 else None
    return None


def _named(form: re.Pattern[str], text: str) -> Iterator[int]:
    """The options that a form finds, but for those that are negated there or just before."""
    for found in form.finditer(text):
        sentence = _SENTENCE_END.split(text[max(0, found.start() - 100) : found.start()])[-1]
        if not _NEGATED.search(" ".join([*sentence.split()[-3:], found[0]])):
            yield _index(next(letter for letter in found.groups() if letter))


def _index(letter: str) -> int:
    return LETTERS.index(letter.upper())


def _plain(text: str) -> str:
    """A text without dress, case, and the quotes and full stop around it."""
    return " ".join(_DRESS.sub("", text).casefold().split()).strip(" .\"'“”‘’")


def letter_log_probabilities(logprobs: Sequence[Any], options: int, named: int) -> dict[int, float]:
    """Nats of the options whose letters are among the likeliest first tokens of an answer.

    A letter's tokens with and without space count together. There are none where the answer does
    not open with the letter that it names: what else was likely there then says little on what it
    came to (Wang et al. 2024, "My Answer is C").

    Args:
        logprobs: as the chat API's logprobs.content; not trusted.
        options: how many there are.
        named: the one that the whole answer names.
    """
    letters = LETTERS[:options]
    first = next((entry for entry in logprobs if _token(entry).strip()), None)
    if first is None or _token(first).strip() != letters[named]:
        return {}
    others = first.get("top_logprobs")
    nats: defaultdict[str, dict[str, float]] = defaultdict(dict)  # of each letter, by token
    for entry in [first, *(others if isinstance(others, list) else [])]:
        token = _token(entry)
        if token.strip() in list(letters) and _finite(entry.get("logprob")):
            nats[token.strip()][token] = entry["logprob"]
    return {letters.index(letter): _log_sum(list(nats[letter].values())) for letter in sorted(nats)}


def _token(entry: Any) -> str:
    token = entry.get("token") if isinstance(entry, dict) else None
    return token if isinstance(token, str) else ""


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _log_sum(nats: list[float]) -> float:
    most = max(nats)
    return most + math.log(sum(math.exp(one - most) for one in nats))


def program_in(reply: str, item: CodeItem) -> str:
    """The program that a reply gives for an item's prompt.

    A whole function stands behind what the prompt has before its own (imports, helpers); anything
    else is taken as the function's body.
    """
    head = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(item.entry_point)}\b", re.M)
    blocks = re.findall(r"```[^\n]*\n(.*?)(?:```|\Z)", reply, re.DOTALL) or [reply]
    code = next((block for block in blocks if head.search(block)), None)
    if code is None:
        return item.prompt + blocks[0]
    heads = list(head.finditer(item.prompt))
    return (item.prompt[: heads[-1].start()] if heads else "") + "\n" + code
