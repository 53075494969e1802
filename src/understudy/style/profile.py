"""What one answer's wording and layout are like, found by plain patterns.

The paper (Gudibande et al. 2023, Table 2) does not say how it finds lists and summary paragraphs,
and has GPT-4 judge the tone. The detectors here are our own stand-ins: word lists and layout rules
for English, open to inspection, the same for every model. Code between ``` fences is ignored.
"""

import re
from dataclasses import dataclass

FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3} ?[.)])\s+\S")
WORD = re.compile(r"\w+(?:['’]\w+)*")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")

OPENING = re.compile(
    r"\W*(?:(?:yes|hi|hello)\b\W*)?(?:sure\b|certainly\b|of course\b|absolutely\b"
    r"|here(?: are| is|['’]s)\b|below (?:are|is)\b|there are (?:several|many|a few|some)\b"
    r"|(?:that['’ ]?i?s an? |what an? )?(?:great|good|excellent|interesting) question"
    r"|i(?: would|['’]d|['’]m| am) (?:be )?(?:happy|glad|pleased)|i can help\b"
    r"|thank(?:s| you) for\b|as an ai\b)",
    re.IGNORECASE,
)
CLOSING = re.compile(
    r"let me know|hopes? (?:this|that|it|these) helps?|feel free to|do(?:n['’]t| not) hesitate"
    r"|(?:happy|glad) to (?:help|assist)|any (?:other|further|more|additional|specific) questions?"
    r"|(?:anything|something) else|if you(?: woul|['’])d like(?: me)? to (?:know|learn|hear)"
    r"|if you need (?:more|further|any)|(?:good|best of) luck\b"
    r"|how (?:else )?(?:can|may) i (?:help|assist)",
    re.IGNORECASE,
)
SUMMING_UP = re.compile(
    r"\W*(?:in (?:summary|conclusion|short|essence|brief|sum|a nutshell|the end)\b|overall\b"
    r"|to (?:summari[sz]e|sum up|conclude|wrap up)\b|all in all\b|ultimately\b|altogether\b"
    r"|taken together\b|by (?:following|using|doing|implementing|incorporating)\b|remember\b)",
    re.IGNORECASE,
)
DOUBT = re.compile(
    r"\bi (?:think|believe|guess|suppose|reckon)\b"
    r"|\bi (?:do not|don['’]?t) (?:know|think|believe)\b"
    r"|\bnot (?:really |entirely |quite )?(?:sure|certain)\b|\bno idea\b|\bi could be wrong\b"
    r"|\b(?:maybe|perhaps|probably|sort of|dunno|imo|imho|idk|iirc|afaik|lol)\b"
    r"|\bin my (?:humble )?opinion\b",
    re.IGNORECASE,
)
HEDGE = re.compile(
    r"\b(?:might|may|could|possibly|likely|unlikely|seems?|seemed|appears?|apparently|somewhat"
    r"|roughly|approximately|generally|usually|typically|often|sometimes|tends? to|it depends)\b",
    re.IGNORECASE,
)
FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|myself)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Profile:
    """The habits seen in one answer.

    Attributes:
        has_list: it lays out a list of two or more bullets or numbers.
        has_summary: it ends in a paragraph that sums up (see `profile`).
        opening: it begins with a stock opening, such as "Sure" or "Here are".
        closing: it ends with a stock closing, such as an offer of more help.
        authoritative: it says something, voices no doubt of its own, and less than half of its
            sentences are questions or trail off. A lexical stand-in for a judge's reading.
        hedges: share of its sentences with a hedge ("might", "usually") or with doubt.
        first_person: share of its sentences in which the speaker speaks of itself.
        words: its words, lower-cased, in order.
    """

    has_list: bool
    has_summary: bool
    opening: bool
    closing: bool
    authoritative: bool
    hedges: float
    first_person: float
    words: list[str]


def profile(text: str) -> Profile:
    """Profile one answer; an empty one has no habit at all.

    A stock closing put aside, a summary is one of the last two paragraphs, not the first, that
    begins with a summing-up phrase ("Overall", "In summary", "By following"), or a last paragraph
    of prose that follows a list.
    """
    prose = FENCED.sub("\n\n", text)
    paragraphs = _paragraphs(prose)
    sentences = [part for part in SENTENCE_END.split(prose) if WORD.search(part)]
    closing = bool(paragraphs) and _closes(paragraphs[-1])
    return Profile(
        has_list=sum(is_item for is_item, _ in paragraphs) >= 2,
        has_summary=_sums_up(paragraphs),
        opening=bool(OPENING.match(prose)),
        closing=closing,
        authoritative=_authoritative(text, sentences),
        hedges=_share(sentences, HEDGE, DOUBT),
        first_person=_share(sentences, FIRST_PERSON),
        words=WORD.findall(text.lower()),
    )


def _paragraphs(text: str) -> list[tuple[bool, str]]:
    """(is a list item, text) of every paragraph; each item of a list is one of its own.

    A blank line ends a paragraph, and so does a line that is not indented after an item.
    """
    found: list[tuple[bool, str]] = []
    fresh = True
    for line in text.splitlines():
        if not line.strip():
            fresh = True
        elif ITEM.match(line):
            found.append((True, line.strip()))
            fresh = False
        elif fresh and found and found[-1][0] and line[0].isspace():
            found[-1] = (True, f"{found[-1][1]} {line.strip()}")
        elif fresh or (found[-1][0] and not line[0].isspace()):
            found.append((False, line.strip()))
            fresh = False
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
    return found


def _closes(paragraph: tuple[bool, str]) -> bool:
    """Whether the paragraph's last sentence is a stock closing."""
    sentences = [part for part in SENTENCE_END.split(paragraph[1]) if WORD.search(part)]
    return bool(sentences) and bool(CLOSING.search(sentences[-1]))


def _sums_up(paragraphs: list[tuple[bool, str]]) -> bool:
    if paragraphs and _closes(paragraphs[-1]) and not SUMMING_UP.match(paragraphs[-1][1]):
        paragraphs = paragraphs[:-1]
    if len(paragraphs) < 2:
        return False
    after_list = paragraphs[-2][0] and not paragraphs[-1][0]
    last = paragraphs[1:][-2:]
    return after_list or any(not item and SUMMING_UP.match(text) for item, text in last)


def _authoritative(text: str, sentences: list[str]) -> bool:
    weak = sum(part.rstrip().endswith(("?", "...", "…")) for part in sentences)
    return bool(text.strip()) and not DOUBT.search(text) and 2 * weak <= len(sentences)


def _share(sentences: list[str], *patterns: re.Pattern[str]) -> float:
    hits = sum(any(pattern.search(part) for pattern in patterns) for part in sentences)
    return hits / len(sentences) if sentences else 0.0
