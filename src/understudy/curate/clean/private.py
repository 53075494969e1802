"""Private data and secrets, masked: a placeholder such as `[email]` stands for each value.

The same value gets the same placeholder all through a dialogue, and the second value of a kind
`[email 2]`, so that who wrote to whom can still be followed. What is nobody's stays: names that are
reserved for documentation (RFC 2606), test numbers, keys that are visibly made up.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from understudy.curate.clean import numbers
from understudy.curate.clean.numbers import Found

EMAIL = re.compile(
    r"(?<![\w.+%\-])(?P<name>[A-Za-z0-9][\w.+%\-]{0,63})@"
    r"(?P<host>(?:[A-Za-z0-9\-]{1,63}\.){1,6}(?P<top>[A-Za-z]{2,24}))(?![\w(@\-]|\.\w)"
)
# Every two letters may be a country; of the longer names only those that people have mail at, since
# a method call such as a@b.transpose() looks the same.
TOPS = """
com org net edu gov mil int info biz name pro mobi app dev cloud online site tech store shop blog
email xyz club live life world group agency company solutions studio design media news health care
bank law legal academy school university museum travel jobs asia berlin london nyc
"""
LONG_TOPS = frozenset(TOPS.split())
RESERVED = re.compile(
    r"(?:.*\.)?(?:example[\w\-]{0,20}(?:\.(?:com|org|net|edu))?|test|invalid|localhost|local)",
    re.IGNORECASE,
)
# Of a machine, or of whoever reads an example: git@github.com, you@gmail.com.
NOBODY = frozenset(
    {"git", "hg", "svn", "you", "yourname", "user", "username", "someone", "example"}
)

# What keys look like, as their makers publish it. First what a text must hold, then the whole.
KEYS = {
    "sk-": r"sk-(?:[a-z]{2,10}\d{0,2}-){0,2}(?P<tail>[A-Za-z0-9_\-]{20,200})",
    "AKIA": r"AKIA(?P<tail>[A-Z2-7]{16})",
    "ASIA": r"ASIA(?P<tail>[A-Z2-7]{16})",
    "ghp_": r"ghp_(?P<tail>[A-Za-z0-9]{36})",
    "gho_": r"gho_(?P<tail>[A-Za-z0-9]{36})",
    "ghs_": r"ghs_(?P<tail>[A-Za-z0-9]{36})",
    "ghu_": r"ghu_(?P<tail>[A-Za-z0-9]{36})",
    "github_pat_": r"github_pat_(?P<tail>[A-Za-z0-9_]{60,100})",
    "glpat-": r"glpat-(?P<tail>[A-Za-z0-9_\-]{20,60})",
    "xox": r"xox[abeoprs]-(?P<tail>[A-Za-z0-9\-]{10,200})",
    "hooks.slack.com": r"https://hooks\.slack\.com/services/(?P<tail>T\w{6,14}/B\w{6,14}/\w{16,32})",
    "AIza": r"AIza(?P<tail>[A-Za-z0-9_\-]{35})",
    "hf_": r"hf_(?P<tail>[A-Za-z0-9]{30,50})",
    "_live_": r"[prs]k_live_(?P<tail>[A-Za-z0-9]{16,120})",
    "npm_": r"npm_(?P<tail>[A-Za-z0-9]{36})",
    "pypi-AgE": r"pypi-AgE(?P<tail>[A-Za-z0-9_\-]{50,300})",
    "SG.": r"SG\.(?P<tail>[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43})",
    ":AA": r"\d{8,10}:AA(?P<tail>[A-Za-z0-9_\-]{33})",
    "eyJ": r"eyJ[A-Za-z0-9_\-]{8,2000}\.eyJ[A-Za-z0-9_\-]{8,6000}"
    r"\.(?P<tail>[A-Za-z0-9_\-]{20,1000})",
    "ecret": r"(?i:aws_?secret_?(?:access_?)?key)[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
    r"(?P<tail>(?P<value>[A-Za-z0-9/+]{40}))(?![/+=])",
}
FORMS = {
    mark: re.compile(rf"(?<![A-Za-z0-9_\-]){form}(?![A-Za-z0-9_])") for mark, form in KEYS.items()
}
PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
PEM_END = re.compile(r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
PEM_LONGEST = 20_000  # characters; a block without an end is taken up to the next blank line
MADE_UP = re.compile(r"example|your|placeholder|x{4}|\*{3}|12345678|abcdef", re.IGNORECASE)
SHORTEST_KEY = 20  # characters without white space that any of FORMS takes
HEXADECIMAL = re.compile(r"[0-9a-f]{32,64}")
FEWEST_CHARACTERS = 9  # different ones, in the part of a key that is drawn at random


def masked(turns: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """The turns with placeholders for private data, and how often each kind was masked."""
    seen: dict[str, dict[str, str]] = {}
    counts: Counter[str] = Counter()
    return [_masked(text, seen, counts) for text in turns], counts


def _masked(text: str, seen: dict[str, dict[str, str]], counts: Counter[str]) -> str:
    for kind, find in _due(text):
        known = seen.setdefault(kind, {})
        parts, position = [], 0
        for start, end, value in sorted(find(text)):
            if start < position:
                continue
            if value not in known:
                known[value] = f"[{kind} {len(known) + 1}]" if known else f"[{kind}]"
            parts += [text[position:start], known[value]]
            position = end
            counts[kind] += 1
        text = "".join(parts) + text[position:]
    return text


def _due(text: str) -> list[tuple[str, Callable[[str], Iterator[Found]]]]:
    """The finders that could find something, by what a text must hold for each."""
    due: list[tuple[str, Callable[[str], Iterator[Found]]]] = []
    if "PRIVATE KEY" in text or len(max(text.split(), key=len, default="")) >= SHORTEST_KEY:
        due.append(("key", keys))
    if "@" in text:
        due.append(("email", emails))
    if numbers.ANY.search(text):
        due += NUMBERS
    return due


def emails(text: str) -> Iterator[Found]:
    """Mail addresses at hosts that are not reserved."""
    for match in EMAIL.finditer(text):
        top = match["top"].lower()
        if len(top) > 2 and top not in LONG_TOPS:
            continue
        if match["name"].lower() not in NOBODY and not RESERVED.fullmatch(match["host"]):
            yield match.start(), match.end(), match[0].lower()


def keys(text: str) -> Iterator[Found]:
    """Keys, tokens and private keys by their published forms."""
    for match in PEM.finditer(text):
        last = min(len(text), match.end() + PEM_LONGEST)
        closing = PEM_END.search(text, match.end(), last)
        blank = text.find("\n\n", match.end(), last)
        end = closing.end() if closing else (blank if blank >= 0 else last)
        yield match.start(), end, text[match.start() : end]
    for mark, form in FORMS.items():
        if mark not in text:
            continue
        for match in form.finditer(text):
            if _drawn(match["tail"]):
                group = "value" if "value" in form.groupindex else 0
                yield *match.span(group), match[group]


def _drawn(tail: str) -> bool:
    """Whether this part of a key looks drawn at random, and not made up for an example."""
    varied = len(set(tail)) >= FEWEST_CHARACTERS and any(map(str.isdigit, tail))
    cased = any(map(str.isupper, tail)) or HEXADECIMAL.fullmatch(tail) is not None
    return varied and cased and not MADE_UP.search(tail)


NUMBERS = [
    ("iban", numbers.ibans),
    ("card", numbers.cards),
    ("ip", numbers.addresses),
    ("ssn", numbers.social),
    ("phone", numbers.phones),
]
