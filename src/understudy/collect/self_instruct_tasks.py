"""Tasks as Self-Instruct writes them: the seeds' file, the request for more, and what comes back.

In a request and in its completion a task is an item of a numbered list, as in Alpaca's:

    ###
    4. Instruction: What follows from the text?
    4. Input: Every heron is a bird.

and `<noinput>` stands for a task that needs no input.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import read_jsonl, whole_characters

OWN_SEEDS = Path(__file__).with_name("seeds.jsonl")
NO_INPUT = "<noinput>"
LONGEST = 200_000  # characters of a completion that are read
SHOWN_OF_MALFORMED = 500  # characters

# What a task for a text model has to be like, in our own words.
REQUEST = """\
You invent tasks that people might give to a text assistant. They will be used to test and to teach
such assistants, so they should be as unlike each other as the wishes of real people are. Write a
list of {total} tasks. What each of them has to fulfil:

- The instruction says in one or two English sentences what is wanted, as an order or a question.
- Begin differently each time and use a verb that is not in the list yet.
- Mix the kinds: open questions, rewriting, sorting into classes, extracting, arguing, calculating,
  planning, inventing, explaining and whatever else people ask for.
- Mix the fields of life too, from the household to science, and the tones, from casual to formal.
- Text alone has to be enough to solve it. The assistant sees no pictures, hears nothing, opens
  nothing, remembers no earlier talk and does nothing in the world.
- Where the instruction needs something to work on, the input holds it: real and concrete matter of
  at most 100 words, never a placeholder. Where the instruction is enough, as for general questions,
  the input is {no_input}.
- Only the instruction and the input are wanted, not the solution.

The list begins like this:

{shown}
###

Go on with the list from task {first} to task {total}. Keep to its form: a line with ### before each
task, then its number with "Instruction:", then its number with "Input:". Write nothing else."""

# No pattern may cross lines while it looks for one: that would be slow on hostile completions.
_SEPARATOR = re.compile(r"^[ \t]*###[ \t]*(?=\r?$|\d{1,6}\. ?Instruction:)", re.M)
_HEADING = r"\d{1,6}\. ?"
_ITEM = re.compile(
    rf"\s*{_HEADING}Instruction:(?P<instruction>.*?)\n[ \t]*{_HEADING}Input:(?P<input>.*)", re.S
)
_ANY_HEADING = re.compile(rf"^[ \t]*{_HEADING}(?:Instruction|Input|Output):", re.M)


@dataclass(frozen=True)
class Task:
    """An instruction and what it is to be applied to; `input` is "" where it needs nothing."""

    instruction: str
    input: str = ""

    @property
    def prompt(self) -> str:
        """The task as it is put to a model."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    def item(self, number: int) -> str:
        """The task as an item of a numbered list."""
        return (
            f"###\n{number}. Instruction: {self.instruction}\n"
            f"{number}. Input: {self.input or NO_INPUT}"
        )


@dataclass(frozen=True)
class Malformed:
    """An item that is no task: why, and the beginning of its text."""

    reason: str
    text: str


def request_text(shown: list[Task], per_request: int) -> str:
    """What the teacher is asked: to go on with a list that `shown` begins, up to `per_request`."""
    return REQUEST.format(
        total=per_request,
        first=len(shown) + 1,
        no_input=NO_INPUT,
        shown="\n".join(task.item(number) for number, task in enumerate(shown, start=1)),
    )


def read_completion(text: str, cut: bool) -> list[Task | Malformed]:
    """The items of a completion, in their order.

    An item that is not exactly an instruction and an input under numbered headings is malformed
    (`form`). So is the last one (`cut`) if the completion was cut short, whatever it looks like.
    """
    cut = cut or len(text) > LONGEST
    items = _SEPARATOR.split(whole_characters(text[:LONGEST]))
    found: list[Task | Malformed] = [_read_item(item) for item in items if item.strip()]
    if cut and items[-1].strip():
        found[-1] = Malformed("cut", items[-1].strip()[:SHOWN_OF_MALFORMED])
    return found


def _read_item(text: str) -> Task | Malformed:
    match = _ITEM.fullmatch(text)
    if match is None or len(_ANY_HEADING.findall(text)) != 2:
        return Malformed("form", text.strip()[:SHOWN_OF_MALFORMED])
    instruction, given = match["instruction"].strip(), match["input"].strip()
    return Task(instruction, "" if given.lower() == NO_INPUT else given)


def read_seeds(path: Path) -> list[Task]:
    """The seed tasks of a file in Self-Instruct's format, each with its first instance's input.

    Rows are {"instruction", "instances": [{"input", "output"}, ...]}; other keys are passed over.

    Raises:
        UserError: the file is missing or holds no task, or a row is malformed; names file and line.
    """
    tasks = [_read_seed(f"{path}, line {number}", row) for number, row in read_jsonl(path)]
    if not tasks:
        raise UserError(f"{path}: holds no seed task; write some in Self-Instruct's JSONL format")
    return tasks


def _read_seed(place: str, row: Any) -> Task:
    if not isinstance(row, dict):
        raise UserError(f'{place}: not an object; write {{"instruction": ..., "instances": ...}}')
    instruction, instances = row.get("instruction"), row.get("instances")
    if not isinstance(instruction, str) or not instruction.strip():
        raise UserError(f"{place}: no text under instruction; add it")
    first = instances[0] if isinstance(instances, list) and instances else None
    given = first.get("input") if isinstance(first, dict) else None
    if not isinstance(given, str):
        raise UserError(f'{place}: no text under instances[0].input; add it ("" for no input)')
    return Task(instruction.strip(), given.strip())
