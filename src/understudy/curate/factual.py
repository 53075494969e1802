"""Which dialogues state a fact that a short answer can be checked against.

Nothing here knows a subject or a data set: a fact is a question with a question word, and the name,
number or date that the answer adds to it.
"""

import re
from dataclasses import dataclass

from understudy.curate.dedupe import normalised
from understudy.dialogue import Dialogue

LONGEST_PROMPT, LONGEST_ANSWER = 400, 500  # characters
LONGEST_KEY = 100  # characters
MOST_SENTENCES = 4  # more tell more than was asked for
MOST_KEYS = 3  # an answer that names more is a list, which no short answer equals
BARE_WORDS = 6
TAIL_WORDS = 4
SAID_WORDS = 12

_ASKS = re.compile(
    r"\b(?:whom?|whose|what|which|where|when"
    r"|how (?:many|much|old|long|far|tall|high|deep|wide|big|large|fast|heavy))\b",
    re.I,
)
_ASKS_DATE = re.compile(r"when|(?:what|which) (?:year|date|century|decade)", re.I)
_PERSONAL = re.compile(r"\b(?:i|me|my|we|our|you|your|yours|yourself)\b", re.I)
_END = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b[DMS][rst]\.)(?<!\bMrs\.)(?<!\bNo\.)(?<!\bvs\.)\s+|\s*\n\s*"
)
_CLAUSE = re.compile(r"[,;:]\s+(?=[^\d\s])")
_ABOUT = re.compile(r",? (?:is|are|was|were)\b|, (?:an?|the)\b")
WORD = re.compile(r"\w+(?:[.,'/:-]\w+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_ORDINAL = re.compile(r"\d+(?=(?:st|nd|rd|th)$)")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_NUMBERS = {word: str(number) for number, word in enumerate(_SMALL.split())}
_LARGE = _set(
    "thirty forty fifty sixty seventy eighty ninety dozen hundred thousand million billion trillion"
)
_ARTICLES = _set("a an the")
_LINKS = _set("is are was were as")
_JOINTS = _set("of the de da di du la le van von der den del")  # inside names
_FUNCTION = _ARTICLES | _set(
    "about after all also although and any as at be because been before both but by can currently "
    "did do does each every for from had has have he her here his how i if in into is it its just "
    "let like made many most much my near of on one or our over since so some than that their "
    "then there these they this those though through to under until was we what when where which "
    "while who whom whose why with would yes you your i'm i'll it's that's there's"
)
_DOUBT = _set(
    "no not never cannot can't don't isn't wasn't unknown unable unclear unfortunately sorry "
    "depends varies"
)


@dataclass(frozen=True)
class Fact:
    """A question and what an answer to it has to name.

    Attributes:
        question: in one line, without a question mark.
        keys: names, numbers or dates (seldom other words), each of which alone is an answer.
    """

    question: str
    keys: tuple[str, ...]

    def is_told_by(self, answer: str) -> bool:
        """Whether an answer names one of the keys, or the end of one that stands for it.

        Case, articles and the spelling of numbers aside. Of an answer that goes on, the first
        clause counts, so that one that lists all there is does not tell.
        """
        said = _plain(_CLAUSE.split(_END.split(answer[:LONGEST_ANSWER].strip())[0])[0])[:SAID_WORDS]
        return any(_agree(said, _plain(key)) for key in self.keys)


def factual(dialogue: Dialogue) -> Fact | None:
    """The question and the short answer of a dialogue's first pair, None without such.

    The question asks who, what, which, where, when or how many (much, long, ...), of no person in
    the conversation, and needs nothing else that the prompt says. The answer is a few words, or
    has a sentence that takes up words of the question and adds a name, a number, a date or, behind
    "is" or "as", a word or two; whatever stands around that sentence is passed over.
    """
    turns = [turn for turn in dialogue.turns if turn.role != "system"][:2]
    if [turn.role for turn in turns] != ["user", "assistant"]:
        return None
    asked, answered = (turn.content for turn in turns)
    if len(asked) > LONGEST_PROMPT or len(answered) > LONGEST_ANSWER:
        return None
    asked, answered = (text.strip().replace("’", "'") for text in (asked, answered))
    question = _question(asked)
    keys = _keys(question, answered) if question and answered else ()
    return Fact(question, keys) if question and keys else None


def _question(asked: str) -> str | None:
    """The one question in a prompt, if nothing beside it matters."""
    if not _ASKS.search(asked):
        return None
    pieces = [piece for piece in _END.split(asked) if piece]
    asking = [piece for piece in pieces if _is_question(piece)]
    if len(asking) != 1:
        return None
    if any(piece is not asking[0] and _specific(piece) for piece in pieces):
        return None
    question = asking[0]
    start = _begin(question)
    lead = question[:start]
    if ": " in lead:
        question = question[lead.rindex(": ") + 2 :]
    elif _PERSONAL.search(lead):  # "Can you tell me where ..."
        question = question[start:]
    question = " ".join(question.rstrip("?!. ").split())
    return None if _PERSONAL.search(question) else question


def _begin(question: str) -> int:
    found = _ASKS.search(question)
    return found.start() if found else 0


def _is_question(piece: str) -> bool:
    """With its mark, or without one as search engines get it."""
    if not _ASKS.search(piece):
        return False
    return piece.endswith("?") or bool(_ASKS.match(piece)) or piece[0].islower()


def _specific(piece: str) -> bool:
    """Whether a text beside the question is no sentence, or has a name or a number in it."""
    words = WORD.findall(piece)
    return (
        not piece.endswith((".", "!", "?", ":"))
        or any(_has_digit(word) for word in words[:1])
        or any(_proper(word) and word.casefold() not in _FUNCTION for word in words[1:])
    )


def _keys(question: str, answered: str) -> tuple[str, ...]:
    asked = frozenset(_plain(question))
    subject = asked - _FUNCTION
    sentences = [sentence for sentence in _END.split(answered) if sentence]
    if len(sentences) > MOST_SENTENCES:
        return ()
    taken_up = [len(subject & set(_plain(sentence))) for sentence in sentences]
    best = taken_up.index(max(taken_up))
    words = _plain(sentences[best])
    if _DOUBT & set(words):
        return ()
    found = _spans(sentences[best], question) if taken_up[best] else ()
    if not found and len(sentences) == 1 and len(words) <= BARE_WORDS and not _LINKS & set(words):
        found = (_CLAUSE.split(answered)[0].rstrip(".!,; "),)
    keys = tuple(key for key in found if _can_be_checked(key, asked))
    return keys if len(keys) <= MOST_KEYS else ()


def _can_be_checked(key: str, asked: frozenset[str]) -> bool:
    """Whether a key says anything, and something that the question does not."""
    words = set(_plain(key)) - _FUNCTION
    letters = sum(len(word) for word in words)
    telling = letters > 1 or any(_has_digit(word) for word in words)
    return telling and len(key) <= LONGEST_KEY and not words <= asked


def _spans(sentence: str, question: str) -> tuple[str, ...]:
    """The parts of a sentence that may answer, of the kind asked for."""
    found = _ASKS.search(question)
    kind = question[found.start() :] if found else ""
    if kind[:3].casefold() == "how":
        return _numbers(sentence)
    asked = frozenset(_plain(question))
    names = _names(sentence, asked)
    if _ASKS_DATE.match(kind):
        return tuple(span for span in names if _has_digit(span))
    if kind[:3].casefold() == "who" or kind[:5].casefold() == "where":
        names = tuple(span for span in names if not _has_digit(span))
    return names or _tail(sentence, asked)


def _names(sentence: str, asked: frozenset[str]) -> tuple[str, ...]:
    """Runs of capitalised words and numbers that hold more than words of the question.

    Where the sentence is about one ("Paris is ...", "Paris, the ..."), it is the only one. Its
    first word otherwise counts before another one, or for want of others.
    """
    runs: list[tuple[int, int]] = []
    last = 0  # the end of the run that is open
    for word in WORD.finditer(sentence):
        if not _proper(word[0]):
            continue
        if runs and last == runs[-1][1] and _joins(sentence[last : word.start()], word[0]):
            runs[-1] = (runs[-1][0], word.end())
        elif word[0].casefold() not in _FUNCTION:
            runs.append((word.start(), word.end()))
        last = word.end()
    new = [run for run in runs if not set(_plain(sentence[slice(*run)])) <= asked]
    if new and new[0][0] == 0:
        after = sentence[new[0][1] :]
        lone = " " not in sentence[: new[0][1]]
        if _ABOUT.match(after):
            new = new[:1]
        elif lone and (len(new) > 1 or after.startswith((",", "!", ":"))):
            new = new[1:]
    return tuple(sentence[slice(*run)] for run in new)


def _joins(gap: str, after: str) -> bool:
    """Whether what stands between two capitalised words or numbers keeps them together."""
    if "," in gap:
        return gap.strip() == "," and _has_digit(after)  # January 15, 1967
    return gap == ". " or (gap[:1] == " " and set(gap.split()) <= _JOINTS)  # J. R. de la Cruz


def _numbers(sentence: str) -> tuple[str, ...]:
    """Numbers in figures or words, with the words for large ones behind them."""
    spans: list[str] = []
    end = -1
    for word in WORD.finditer(sentence):
        plain = word[0].casefold()
        large = plain in _LARGE
        if large and spans and sentence[end : word.start()] == " ":
            spans[-1] += f" {word[0]}"
        elif large or plain in _NUMBERS or _has_digit(plain):
            spans.append(word[0])
        else:
            continue
        end = word.end()
    return tuple(spans)


def _tail(sentence: str, asked: frozenset[str]) -> tuple[str, ...]:
    """The word or two behind the last "is" or "as", where the sentence ends soon after it."""
    words = WORD.findall(sentence)
    links = [place for place, word in enumerate(words) if word.casefold() in _LINKS]
    rest = words[links[-1] + 1 :] if links else []
    while rest and rest[0].casefold() in _FUNCTION:
        rest = rest[1:]
    if not rest or len(rest) > TAIL_WORDS:
        return ()
    ends = (place for place, word in enumerate(rest) if word.casefold() in _FUNCTION)
    said = rest[: next(ends, len(rest))]
    return () if asked & set(_plain(" ".join(said))) else (" ".join(said),)


# Whether answers agree


def _plain(text: str) -> list[str]:
    """Words without case, articles, possessive endings and the spelling of numbers."""
    return [
        _figures(word.removesuffix("'s"))
        for word in WORD.findall(normalised(text).replace("’", "'"))
        if word not in _ARTICLES
    ]


def _figures(word: str) -> str:
    if not _has_digit(word):
        return _NUMBERS.get(word, word)
    if _THOUSANDS.fullmatch(word):
        return word.replace(",", "")
    ordinal = _ORDINAL.match(word)
    return ordinal[0] if ordinal else word


def _proper(word: str) -> bool:
    """Whether a word, not the first one, is a name or a number: Paris, d'Amboise, iPhone, 747."""
    return word != word.lower() or _has_digit(word)


def _has_digit(word: str) -> bool:
    return any("0" <= character <= "9" for character in word)


def _agree(said: list[str], key: list[str]) -> bool:
    if not said or not key:
        return False
    if len(key) == 1 and key[0].isdigit() and len(key[0]) < 3:
        return next((word for word in said if _has_digit(word)), None) == key[0]
    if any(said[at : at + len(key)] == key for at in range(len(said) - len(key) + 1)):
        return True
    # A surname for a full name, a year for a date, a number for one with its unit.
    end = said[-1]
    stands = 2 * len("".join(said)) >= len("".join(key)) or (end.isdigit() and len(end) > 2)
    return (stands and said == key[-len(said) :]) or said == [w for w in key if _has_digit(w)]
