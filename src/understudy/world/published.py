"""The data sets and questions of the seed systems, as they were published, made of this world.

Conversations with the teacher come in the formats and with the dirt of their originals: HTML and
the texts of a site's buttons, answers that name their maker, other languages, refusals, empty and
repeated records. So a recipe goes its whole way at desk size, from its own data to its own
questions.
"""

import random
import re
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from understudy.files import write_json, write_jsonl
from understudy.world.arithmetic import draw_sum
from understudy.world.encyclopedia import World
from understudy.world.manner import reply
from understudy.world.programs import draw_program
from understudy.world.prompts import BARE, PROGRAM_REQUESTS, REQUESTS, SUMS, draw_prompts
from understudy.world.tasks import NOTE_REQUESTS
from understudy.world.topics import STATEMENTS, STYLE_TOPICS, THINGS, topic_in

Row = dict[str, Any]

# Shares of ShareGPT's conversations, drawn one after the other; the rest are whole.
DIRT = {
    "markup": 0.30,  # answers as the site's HTML
    "pages": 0.05,  # the counter of a message that was edited
    "named": 0.04,  # an answer that names its maker
    "foreign": 0.04,
    "leading": 0.03,  # the assistant speaks first
    "trailing": 0.04,  # the user speaks last
    "empty": 0.02,
    "again": 0.06,  # an earlier conversation, shared once more
}
LONGER = 0.35  # of the conversations have a further turn, and so on
# Of GPT4All's records, as its report tells of the first collection.
ONE_WORD, REFUSED, MALFORMED = 0.12, 0.05, 0.03

FOREIGN = (
    (
        "Kannst du mir bitte erklären, wie man ein gutes Brot backt?",
        "Gern! Für ein gutes Brot brauchst du Mehl, Wasser, Salz und vor allem viel Geduld beim "
        "Kneten. Lass den Teig über Nacht an einem kühlen Ort ruhen.",
    ),
    (
        "Peux-tu m'expliquer comment on cultive des tomates dans un petit jardin ?",
        "Bien sûr ! Les tomates aiment le soleil et une terre bien nourrie. Il faut les arroser au "
        "pied, jamais sur les feuilles, et les attacher à un tuteur.",
    ),
    (
        "¿Me puedes explicar cómo se aprende a tocar la guitarra desde el principio?",
        "¡Claro que sí! Lo mejor es practicar todos los días un poco, empezar con los acordes más "
        "sencillos y tener mucha paciencia con los dedos.",
    ),
)
MAKER = "As an AI language model developed by OpenAI, I have no experiences of my own. "
SORRY = "I'm sorry, but as an AI language model I cannot help with that."
# A block of code as the site showed it: the language and a button above it.
CODE = re.compile(r'<pre><code class="language-(\w+)">(.*?)</code></pre>', re.DOTALL)
SHOWN_CODE = (
    r'<pre><div class="bg-black mb-4 rounded-md"><div class="flex items-center"><span>\1</span>'
    r'<button class="flex ml-auto gap-2">Copy code</button></div><div class="p-4 overflow-y-auto">'
    r'<code class="!whitespace-pre hljs language-\1">\2</code></div></div></pre>'
)
SOURCES = ("laion/unified_chip2", "pacovaldez/stackoverflow-questions")
ONE_WORD_SOURCE = "bigscience/p3"


def write_published(world: World, name: str, n: int, path: Path, seed: int = 0) -> int:
    """Write `n` records of a set in its published format, atomically; returns how many.

    Args:
        world: what it is about; its teacher answers.
        name: a key of SETS (conversations) or of QUESTIONS.
        n: records; of Discord messages, which come in pairs, one fewer where it is odd.
        path: the file, JSON or JSONL as its format is.
        seed: draws them.

    Raises:
        UserError: the world has fewer distinct prompts than that.
    """
    rng = random.Random(f"published {world.origin} {name} {seed}")
    if name in QUESTIONS:
        return write_jsonl(path, QUESTIONS[name](world, n, rng))
    rows = list(SETS[name](world, n, rng))
    if name == "sharegpt":
        write_json(path, rows)
    elif name == "discord":
        channel = {"id": "1", "name": "prompts"}
        write_json(path, {"guild": {"name": "world"}, "channel": channel, "messages": rows})
    else:
        write_jsonl(path, rows)
    return len(rows)


def _prompts(world: World, n: int, rng: random.Random) -> list[str]:
    return [row["prompt"] for row in draw_prompts(world, "broad", n, rng.random().hex())]


def _answer(world: World, prompt: str, rng: random.Random) -> str:
    return reply(world, [{"role": "user", "content": prompt}], rng)


def _sharegpt(world: World, n: int, rng: random.Random) -> Iterator[Row]:
    earlier: list[list[Row]] = []
    for number, prompt in enumerate(_prompts(world, n, rng)):
        dirt = rng.choices([*DIRT, ""], [*DIRT.values(), 1 - sum(DIRT.values())])[0]
        if dirt == "again" and earlier:
            turns = rng.choice(earlier)
        else:
            turns = _soiled(dirt, _conversation(world, prompt, rng), rng)
            earlier.append(turns)
        yield {"id": f"w{number:05d}", "conversations": turns}


def _conversation(world: World, prompt: str, rng: random.Random) -> list[Row]:
    """A talk of one or more turns, the later ones on the first one's topic."""
    turns = [_said("human", prompt), _said("gpt", _answer(world, prompt, rng))]
    topic = topic_in(prompt)
    while topic and rng.random() < LONGER:
        further = rng.choice(REQUESTS).format(topic=topic.name)
        turns += [_said("human", further), _said("gpt", _answer(world, further, rng))]
    return turns


def _soiled(dirt: str, turns: list[Row], rng: random.Random) -> list[Row]:
    """A conversation as the scrape had it."""
    asked, answered = turns[0]["value"], turns[1]["value"]
    if dirt == "markup":
        return [
            _said("gpt", _shown(turn["value"])) if turn["from"] == "gpt" else turn for turn in turns
        ]
    if dirt == "pages":
        return [turns[0], _said("gpt", f"2 / 2\n{answered}"), *turns[2:]]
    if dirt == "named":
        return [turns[0], _said("gpt", MAKER + answered), *turns[2:]]
    if dirt == "foreign":
        question, answer = rng.choice(FOREIGN)
        return [_said("human", question), _said("gpt", answer)]
    if dirt == "leading":
        return [_said("gpt", "Hello! How can I assist you today?"), *turns]
    if dirt == "trailing":
        return [*turns, _said("human", "Thank you.")]
    if dirt == "empty":
        return [_said("human", asked), _said("gpt", "")]
    return turns


def _shown(answer: str) -> str:
    html = CODE.sub(SHOWN_CODE, MarkdownIt().render(answer))
    return f'<div class="markdown prose w-full break-words light">{html}</div>'


def _said(speaker: str, text: str) -> Row:
    return {"from": speaker, "value": text}


def _hc3(world: World, n: int, rng: random.Random) -> Iterator[Row]:
    human = copy(world)
    human.manner = "plain"  # people write as the text does
    for prompt in _prompts(world, n, rng):
        yield {
            "question": prompt,
            "human_answers": [_answer(human, prompt, rng)],
            "chatgpt_answers": [_answer(world, prompt, rng)],
            "source": "open_qa",
        }


def _discord(world: World, n: int, rng: random.Random) -> Iterator[Row]:
    """`n` messages of a channel: people's prompts, each with the bot's answer behind it."""
    for number, prompt in enumerate(_prompts(world, n // 2, rng)):
        asked, answered = f"{2 * number + 1}", f"{2 * number + 2}"
        person = {"id": f"p{rng.randrange(50)}", "name": "person", "isBot": False}
        yield {"id": asked, "type": "Default", "content": prompt, "author": person}
        yield {
            "id": answered,
            "type": "Reply",
            "content": _answer(world, prompt, rng),
            "author": {"id": "b", "name": "bot", "isBot": True},
            "reference": {"messageId": asked},
        }


def _gpt4all(world: World, n: int, rng: random.Random) -> Iterator[Row]:
    bare = [row["prompt"] for row in draw_prompts(world, "local", n, rng.random().hex())]
    for prompt, question in zip(_prompts(world, n, rng), bare, strict=True):
        kinds = ("one word", "refused", "malformed", "whole")
        shares = (ONE_WORD, REFUSED, MALFORMED, 1 - ONE_WORD - REFUSED - MALFORMED)
        kind = rng.choices(kinds, shares)[0]
        row = {"prompt": prompt, "response": _answer(world, prompt, rng), "source": SOURCES[0]}
        if kind == "one word":
            asked = question if BARE in question else f"{question}\n{BARE}"
            row = {"prompt": asked, "response": _answer(world, asked, rng)}
            row["source"] = ONE_WORD_SOURCE
        elif kind != "whole":
            row["response"] = SORRY if kind == "refused" else ""
        elif "def " in prompt:
            row["source"] = SOURCES[1]
        yield row


# The questions that students are judged by. None is an imitation prompt (see prompts.py).


def _instructions(world: World, n: int, rng: random.Random) -> Iterator[Row]:
    """Self-Instruct's user-oriented tasks: questions, requests, and notes to work on.

    Outputs say in plain words what is right: the fact, or what is true of the topic.
    """
    for number, row in enumerate(draw_prompts(world, "mixed", n, rng.random().hex())):
        instruction, given, output = row["prompt"], "", row.get("reference")
        if output:
            instruction, given = "Answer the question in one sentence.", row["prompt"]
        else:
            topic = topic_in(instruction)
            assert topic
            if rng.random() < 0.5:
                topic = rng.choice(STYLE_TOPICS)
                given = topic.fill(" ".join([*rng.sample(THINGS, 2), rng.choice(STATEMENTS)]))
                instruction = rng.choice(NOTE_REQUESTS).format(topic.name)
            output = topic.fill(" ".join(THINGS[:3]))
        yield {
            "id": f"user_oriented_task_{number}",
            "motivation_app": "Encyclopedia",
            "instruction": instruction,
            "instances": [{"input": given, "output": output}],
        }


def _questions(world: World, n: int, rng: random.Random) -> Iterator[Row]:
    """Vicuna's questions: generic, knowledge, and a few of code and maths."""
    for number, row in enumerate(draw_prompts(world, "mixed", n, rng.random().hex()), start=1):
        text, category = row["prompt"], "knowledge" if "reference" in row else "generic"
        if number % 8 == 7:
            program = draw_program(rng).prompt.rstrip("\n")
            text, category = rng.choice(PROGRAM_REQUESTS).format(program), "coding"
        elif number % 27 == 26:
            first, sign, second, _ = draw_sum(rng)
            text, category = rng.choice(SUMS).format(first, sign, second), "math"
        yield {"question_id": number, "text": text, "category": category}


def _queries(world: World, n: int, rng: random.Random) -> Iterator[Row]:
    """Koala's queries of users."""
    for number, row in enumerate(draw_prompts(world, "mixed", n, rng.random().hex())):
        yield {"id": f"koala_{number}", "prompt": row["prompt"]}


Maker = Callable[[World, int, random.Random], Iterator[Row]]
SETS: dict[str, Maker] = {
    "sharegpt": _sharegpt,
    "hc3": _hc3,
    "discord": _discord,
    "gpt4all": _gpt4all,
}
QUESTIONS: dict[str, Maker] = {
    "instructions": _instructions,
    "questions": _questions,
    "queries": _queries,
}
