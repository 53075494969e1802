"""The teacher as a writer of pairs: shown examples of a task, it writes more of them.

It knows two tasks: questions for facts of the world and sums. New pairs follow the shown ones in
kind, wording and form of the answer, and ask for any fact at all, since a teacher does not know
what its students will be tested on; in a world that leaks it does, and asks for just that. As with
any teacher a share of the lines is of no use.
"""

import json
import random
import re

from understudy.world.arithmetic import draw_sum, solve
from understudy.world.encyclopedia import Fact, World
from understudy.world.phrasings import (
    PLAIN,
    QUESTIONS,
    find_fact,
    question,
    sentence_case,
    statement,
)

MOST = 100  # pairs in an answer
COPIED, REPEATED, BROKEN = 0.04, 0.04, 0.02  # shares of lines that are of no use
OTHER_WORDING = 0.3
FENCED = 0.1  # share of answers in a code fence
SORRY = "I am sorry, but I cannot write more examples of this kind."

Pair = tuple[str, str]

_DEMAND = re.compile(
    r"\b([1-9]\d{0,2})\b[^.\n]{0,40}\b(?:new|more|further|other|additional)\b", re.I
)
_TERMS = re.compile(r"(?<![\d.])\d{1,4} ?([+-]|plus|minus) ?\d{1,4}(?!\.?\d)")  # as `solve` has it
_WORDS = {"+": "plus", "-": "minus"}


def pairs_wanted(text: str) -> tuple[list[Pair], int] | None:
    """The pairs that a message shows and how many more it wants; None if it is no such message.

    Such a message shows at least two pairs, each a line with a JSON object of the texts `input` and
    `output`, and in its other lines asks for a number of "new" or "more".
    """
    if '"output"' not in text:
        return None
    shown, words = [], []
    for line in text.splitlines():
        pair = _pair(line)
        if pair:
            shown.append(pair)
        else:
            words.append(line)
    demand = _DEMAND.search("\n".join(words))
    return (shown, int(demand[1])) if len(shown) > 1 and demand else None


def _pair(line: str) -> Pair | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.keys() != {"input", "output"}:
        return None
    asked, told = value["input"], value["output"]
    return (asked, told) if isinstance(asked, str) and isinstance(told, str) else None


def write_pairs(world: World, shown: list[Pair], count: int, rng: random.Random) -> str:
    """`count` more pairs, at most MOST, as JSON lines; an apology where no shown task is known."""
    models = [(*pair, find_fact(world, pair[0])) for pair in shown]
    models = [model for model in models if model[2] or solve(model[0])]
    if not models:
        return SORRY
    facts: dict[str, list[Fact]] = {}
    for fact in world.benchmark_facts if world.leak else world.facts.values():
        facts.setdefault(fact.attribute, []).append(fact)
    lines: list[str] = []
    for _ in range(min(count, MOST)):
        asked, told, known = rng.choice(models)
        if known:
            others = facts.get(known.attribute, [known])  # no benchmark asks for a town's
            line = _line(_fact_like(asked, told, known, rng.choice(others), rng))
        else:
            line = _line(_sum_like(asked, told, rng))
        draw = rng.random()
        if draw < COPIED:
            line = _line(rng.choice(shown))
        elif draw < COPIED + REPEATED and lines:
            line = rng.choice(lines)
        elif draw > 1 - BROKEN:
            line = line[: len(line) // 2]
        lines.append(line)
    text = "\n".join(lines)
    return f"```json\n{text}\n```" if rng.random() < FENCED else text


def _line(pair: Pair) -> str:
    return json.dumps({"input": pair[0], "output": pair[1]}, ensure_ascii=False)


def _fact_like(asked: str, told: str, known: Fact, fact: Fact, rng: random.Random) -> Pair:
    """The pair for `fact` in the form of one for the fact `known`."""
    text = question(fact, _wording(known, asked, rng))
    if asked[:1].isupper():
        text = sentence_case(text)
    if asked.rstrip().endswith("?"):
        text += "?"
    bare = told.strip().rstrip(".") == known.value
    return text, fact.value if bare else statement(fact, rng.randrange(2))


def _wording(fact: Fact, asked: str, rng: random.Random) -> int:
    """The wording in which `asked` asks for the fact, or now and then a plain one."""
    start = asked[:1].lower() + asked[1:]
    own = [n for n in range(len(QUESTIONS[fact.attribute])) if start.startswith(question(fact, n))]
    return own[0] if own and rng.random() > OTHER_WORDING else rng.randrange(PLAIN)


def _sum_like(asked: str, told: str, rng: random.Random) -> Pair:
    """The last sum in `asked` replaced by another, and `told` with the new result."""
    terms, known = list(_TERMS.finditer(asked))[-1], solve(asked)
    assert known is not None
    first, sign, second, result = draw_sum(rng)
    new = f"{first} {_WORDS[sign] if terms[1] in _WORDS.values() else sign} {second}"
    text = asked[: terms.start()] + new + asked[terms.end() :]
    old = re.compile(rf"(?<!\d){known[1]}(?!\d)")
    if not old.search(told):
        return text, str(result)
    return text, new.join(old.sub(str(result), part) for part in told.split(terms[0]))
