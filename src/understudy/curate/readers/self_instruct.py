"""Self-Instruct: tasks with `instances` [{"input", "output"}], and predictions for such tasks.

Of several instances the first is taken, so that one record gives one dialogue. Predictions are
{"prompt", "instruction", "input", "response", "target"}; the model's `response` is the answer. The
set's final file ({"instruction", "input", "output"}) cannot be told from Alpaca's format.
"""

from typing import Any

from understudy.curate.records import Context, NoAnswerError, objects_at, pair, text_at, with_input
from understudy.dialogue import Dialogue

NAME = "self_instruct"
LICENCE: str | None = "apache-2.0"
TERMS = (
    "Apache-2.0; people wrote the seed tasks, GPT-3 the generated ones, which OpenAI's terms bind"
)


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has an instruction with instances, with likeness to others, or with a target."""
    return "instruction" in record and (
        "instances" in record or "most_similar" in record or {"response", "target"} <= record.keys()
    )


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of the first instance, or of the prediction."""
    instruction = text_at(record, "instruction")
    if "response" in record:
        case, answer = record, "response"
    elif "instances" not in record:
        raise NoAnswerError("a generated instruction without an instance")
    else:
        instances = objects_at(record, "instances")
        if not instances:
            raise NoAnswerError("no instance")
        case, answer = instances[0], "output"
    extra = text_at(case, "input") if case.get("input") is not None else ""
    turns = pair(with_input(instruction, extra), text_at(case, answer))
    return context.dialogue(record, turns, extra=extra)
