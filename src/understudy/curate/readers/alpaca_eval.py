"""AlpacaEval: a model's outputs, or a judge's annotations of the outputs of two models.

Outputs are {"instruction", "output", "generator"}. Annotations hold `output_1`, `output_2`, their
generators and a `preference` between 1 and 2, of which the answer that it is nearer to is taken.
"""

from typing import Any

from understudy.curate.records import Context, UnreadableError, pair, text_at
from understudy.dialogue import Dialogue

NAME = "alpaca_eval"
LICENCE: str | None = "cc-by-nc-4.0"
TERMS = (
    "the prompts are CC BY-NC 4.0; the terms of each model's maker bind its outputs; "
    "these prompts are a benchmark, so training on them spoils it"
)


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has an instruction and says which model wrote the output."""
    return "instruction" in record and ("generator" in record or "generator_1" in record)


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue; the model that answered is the teacher."""
    which = "" if "generator" in record else f"_{_preferred(record)}"
    turns = pair(text_at(record, "instruction"), text_at(record, f"output{which}"))
    return context.dialogue(record, turns, teacher=text_at(record, f"generator{which}"))


def _preferred(record: dict[str, Any]) -> int:
    preference = record.get("preference")
    if not isinstance(preference, int | float):
        raise UnreadableError("preference is not a number")
    return 2 if preference > 1.5 else 1
