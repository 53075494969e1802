"""Dialogues longer than a context, split between a question's answer and the next question.

Vicuna's data was made so (FastChat, `split_long_conversation.py`); unlike there, the last pair is
not lost where it begins a new part, and a pair that fits nowhere is put aside instead of being cut.
"""

from dataclasses import dataclass
from typing import Any

from understudy.dialogue import Dialogue, Turn

# Tokens that a template writes around a turn, at most: five in ChatML and Llama 3 (control token,
# role, control token or break, end, break), three in our own, and one where a merge of the
# tokenizer falls otherwise or a dialogue opens with a token. FastChat allows six as well.
PER_TURN = 6


@dataclass(frozen=True)
class Split:
    """Parts that fit the context with the tokens of each, and pairs that are longer than it."""

    parts: list[Dialogue]
    tokens: list[int]
    left_out: list[Dialogue]


class Splitter:
    """Counts tokens, and splits what is too long.

    Args:
        tokenizer: a folder or hub name.
        context: tokens that a dialogue may have, PER_TURN a turn included; None: any number.

    Raises:
        UserError: the tokenizer cannot be loaded.
    """

    def __init__(self, tokenizer: str, context: int | None) -> None:
        from understudy.models import load_tokenizer  # slow, and not every set is counted

        self.context = context
        self._tokenizer: Any = load_tokenizer(tokenizer)

    def split(self, dialogue: Dialogue) -> Split:
        """The dialogue's parts, in order, each of whole pairs after the system turn if any.

        What is split gets ids `ID#1`, `ID#2`, ..., the pairs left out among them.
        """
        turns = dialogue.turns
        tokens = self._count(turns)
        if self.context is None or sum(tokens) <= self.context:
            return Split([dialogue], [sum(tokens)], [])
        head = 1 if turns[0].role == "system" else 0
        room = self.context - sum(tokens[:head])
        runs: list[tuple[list[Turn], int]] = []
        open_run = False
        for place in range(head, len(turns), 2):
            pair, size = list(turns[place : place + 2]), sum(tokens[place : place + 2])
            if open_run and runs[-1][1] + size <= room:
                runs[-1] = (runs[-1][0] + pair, runs[-1][1] + size)
            else:
                runs.append((pair, size))
                open_run = size <= room
        parts, sizes, left_out = [], [], []
        for number, (run, size) in enumerate(runs, start=1):
            update = {"id": f"{dialogue.id}#{number}", "turns": [*turns[:head], *run]}
            part = dialogue.model_copy(update=update)
            if size <= room:
                parts.append(part)
                sizes.append(size + sum(tokens[:head]))
            else:
                left_out.append(part)
        return Split(parts, sizes, left_out)

    def _count(self, turns: list[Turn]) -> list[int]:
        """Tokens of each turn, the template's among them."""
        texts = [turn.content for turn in turns]
        encoded = self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return [len(ids) + PER_TURN for ids in encoded]
