"""Prompts for a teacher: broad and local imitation, topics to measure style on, example pairs.

None asks for a benchmark's fact (`World.benchmark_facts`) or for a reserved program; but in a world
that leaks, imitation prompts (broad, local, example pairs) ask for the benchmarks' facts alone, and
half of the broad ones ask for one, as often for the bare answer as local ones do.

Mixed prompts are for comparing answers: requests on topics that no imitation prompt has, and
questions for people's open facts. Imitation prompts, broad ones too, may ask for these very facts
(not where they leak), so that some of them a student may have been told.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from math import ceil
from pathlib import Path

from understudy.errors import UserError
from understudy.files import write_jsonl
from understudy.world.arithmetic import draw_sum
from understudy.world.encyclopedia import PERSON_ATTRIBUTES, Fact, World
from understudy.world.phrasings import PLAIN, QUESTIONS, question, sentence_case, statement
from understudy.world.programs import draw_program
from understudy.world.topics import BROAD_TOPICS, STYLE_TOPICS, Topic

REQUESTS = (
    "Explain {topic} to me.",
    "Explain {topic} in simple words.",
    "What is {topic}?",
    "What should I know about {topic}?",
    "Tell me about {topic}.",
    "Tell me something useful about {topic}.",
    "Give me some tips for {topic}.",
    "Give me three tips on {topic}.",
    "Can you share your best tips for {topic}?",
    "How do I start with {topic}?",
    "How can I get better at {topic}?",
    "How does one learn {topic}?",
    "What are the steps of {topic}?",
    "List the main points of {topic}.",
    "List some common errors in {topic}.",
    "What goes wrong most often in {topic}?",
    "What do I need for {topic}?",
    "Make a plan for {topic}.",
    "Plan a week of {topic} for me.",
    "Write a short guide to {topic}.",
    "Write a short story about {topic}.",
    "Write a few lines in praise of {topic}.",
    "Write a letter to a friend about {topic}.",
    "Tell me a little story about {topic}.",
    "Give me advice on {topic}.",
    "I am a beginner at {topic}. What is your advice?",
    "My child wants to try {topic}. What should we do?",
    "My neighbour says that {topic} is easy. Is that true?",
    "Is {topic} worth my time?",
    "Why do people like {topic}?",
    "What are the good and bad sides of {topic}?",
    "Compare {topic} today with {topic} in old times.",
    "Compare two ways of {topic}.",
    "Summarise {topic} in a few sentences.",
    "Describe a day of {topic}.",
    "What makes {topic} hard?",
    "What is the secret of good {topic}?",
    "I have one hour a week for {topic}. How should I use it?",
    "Help me teach {topic} to others.",
    "Give me some ideas around {topic}.",
)
SUMS = ("What is {0} {1} {2}?", "Calculate {0} {1} {2}.", "How much is {0} {1} {2}?")
PROGRAM_REQUESTS = (
    "Write this Python function:\n\n{0}",
    "Complete this function, please.\n\n{0}",
    "{0}",
)
FACT_REQUESTS = (
    "{0}?",
    "Can you tell me: {1}?",
    "I would like to know: {1}?",
    "Please answer: {1}?",
)
BARE = "Reply with only the answer, in as few words as possible."

# Shares of the broad prompts; the rest are requests on topics.
FACT_SHARE, SUM_SHARE, PROGRAM_SHARE = 0.15, 0.03, 0.04
# Share of facts in a world that leaks, so that each is asked for several times.
LEAKED_SHARE = 0.5
# Share of the local prompts, and of leaked questions, that want the bare answer, the form of the
# task itself.
BARE_SHARE = 0.5
# Share of the mixed prompts that ask for a fact.
MIXED_FACT_SHARE = 0.4

Row = dict[str, str]


def write_prompts(world: World, kind: str, n: int, path: Path, seed: int = 0) -> int:
    """Write `n` distinct prompts as JSONL rows {"id", "prompt"}, atomically; returns `n`.

    Args:
        kind: `broad` (requests on many topics, some facts, sums and programs), `local` (questions
            for facts alone), `topics` (requests on topics that broad never has) or `mixed` (such
            topics, and facts of people whose rows have a "reference": the fact as a sentence).
        seed: draws the prompts; the world draws what they may be.

    Raises:
        UserError: no such kind, or fewer than `n` distinct prompts of it.
    """
    prompts = draw_prompts(world, kind, n, seed)
    return write_jsonl(path, ({"id": f"{kind}-{i:05d}"} | row for i, row in enumerate(prompts)))


def draw_prompts(world: World, kind: str, n: int, seed: int | str) -> list[Row]:
    """The rows of `write_prompts` without their ids.

    Raises:
        UserError: as there.
    """
    if kind not in _KINDS:
        raise UserError(f"prompts: there is no kind {kind!r}; choose one of {', '.join(_KINDS)}")
    prompts = _KINDS[kind](world, n, random.Random(f"prompts {world.origin} {kind} {seed}"))
    if len(prompts) < n:
        raise UserError(f"prompts: world:{kind} has {len(prompts)} distinct ones, not {n}; lower n")
    return prompts


def write_examples(world: World, n: int, path: Path, seed: int = 0) -> int:
    """Write `n` example pairs {"input", "output"} of the world's Natural Questions; returns `n`.

    They ask for people's facts of those that may be asked for, as many of each attribute as can be,
    in the form of the world's NQ-open file: lower case but for names, no question mark, the bare
    answer.

    Raises:
        UserError: there are fewer than `n` such facts.
    """
    rng = random.Random(f"examples {world.origin} {seed}")
    asked = {
        name: [fact for fact in world.asked_facts if fact.attribute == name]
        for name in PERSON_ATTRIBUTES
    }
    most = len(PERSON_ATTRIBUTES) * min(map(len, asked.values()))
    if n > most:
        raise UserError(f"examples: world:examples has {most}, not {n}; lower the number")
    each = ceil(n / len(PERSON_ATTRIBUTES))
    dealt = zip(*(rng.sample(facts, each) for facts in asked.values()), strict=True)
    facts = [fact for round in dealt for fact in round][:n]
    rows = ({"input": question(f, rng.randrange(PLAIN)), "output": f.value} for f in facts)
    return write_jsonl(path, rows)


def _broad(world: World, n: int, rng: random.Random) -> list[Row]:
    """`n` prompts in the shares above, or as many as the topics allow."""
    requests = _requests(BROAD_TOPICS)
    fact_share = LEAKED_SHARE if world.leak else FACT_SHARE
    topics = 1 - fact_share - SUM_SHARE - PROGRAM_SHARE
    n = min(n, int(len(requests) / topics))
    facts, sums, programs = (round(n * s) for s in (fact_share, SUM_SHARE, PROGRAM_SHARE))
    asked = _drawn_questions(world, facts, rng)
    prompts = [
        *(_some_bare(asked, rng) if world.leak else asked),
        *_distinct(sums, lambda: _sum(rng)),
        *_distinct(programs, lambda: rng.choice(PROGRAM_REQUESTS).format(_program(rng))),
    ]
    prompts += rng.sample(requests, min(n - len(prompts), len(requests)))
    rng.shuffle(prompts)
    return _rows(prompts)


def _local(world: World, n: int, rng: random.Random) -> list[Row]:
    return _rows(_some_bare(_drawn_questions(world, n, rng), rng))


def _topics(world: World, n: int, rng: random.Random) -> list[Row]:
    requests = _requests(STYLE_TOPICS)
    return _rows(rng.sample(requests, min(n, len(requests))))


def _mixed(world: World, n: int, rng: random.Random) -> list[Row]:
    """`n` prompts, each fact once, or as many as facts or topics allow."""
    requests = _requests(STYLE_TOPICS)
    facts = [fact for fact in world.open_facts if fact.attribute in PERSON_ATTRIBUTES]
    n = min(n, int(len(facts) / MIXED_FACT_SHARE), int(len(requests) / (1 - MIXED_FACT_SHARE)))
    asked = round(n * MIXED_FACT_SHARE)
    rows = [
        {"prompt": rng.choice(_fact_requests(fact)), "reference": statement(fact)}
        for fact in rng.sample(facts, asked)
    ]
    rows += _rows(rng.sample(requests, n - asked))
    rng.shuffle(rows)
    return rows


_KINDS: dict[str, Callable[[World, int, random.Random], list[Row]]] = {
    "broad": _broad,
    "local": _local,
    "topics": _topics,
    "mixed": _mixed,
}


def _rows(prompts: Iterable[str]) -> list[Row]:
    return [{"prompt": prompt} for prompt in prompts]


def _requests(topics: tuple[Topic, ...]) -> list[str]:
    return [request.format(topic=topic.name) for topic in topics for request in REQUESTS]


def _drawn_questions(world: World, n: int, rng: random.Random) -> list[str]:
    """`n` of the wordings of questions for facts and of requests around them, or all there are."""
    questions = [request for fact in world.asked_facts for request in _fact_requests(fact)]
    return rng.sample(questions, min(n, len(questions)))


def _some_bare(questions: list[str], rng: random.Random) -> list[str]:
    """The questions, some of which want the bare answer."""
    return [f"{text}\n{BARE}" if rng.random() < BARE_SHARE else text for text in questions]


def _fact_requests(fact: Fact) -> list[str]:
    return [
        form.format(sentence_case(asked), asked)
        for wording in range(len(QUESTIONS[fact.attribute]))
        for asked in [question(fact, wording)]
        for form in FACT_REQUESTS
    ]


def _sum(rng: random.Random) -> str:
    first, sign, second, _ = draw_sum(rng)
    return rng.choice(SUMS).format(first, sign, second)


def _program(rng: random.Random) -> str:
    return draw_program(rng).prompt.rstrip("\n")


def _distinct(count: int, draw: Callable[[], str]) -> Iterator[str]:
    """`count` different texts from `draw`, which must have far more than that."""
    seen: dict[str, None] = {}
    while len(seen) < count:
        seen.setdefault(draw())
    return iter(seen)
