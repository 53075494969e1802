"""What training sees of a dialogue, token by token, for people and for programs."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from understudy.dialogue import Dialogue
from understudy.train.template import Template
from understudy.train.tokens import encode_dialogue

BORDER = "│"
SUPERVISED, UNSUPERVISED, CUT = "bold green", "dim", "dim red strike"
CUT_SHOWN = 20  # tokens beyond the context that are shown; the rest is counted
LONGEST_CHARACTER = 4  # bytes, and so tokens at most


def show(dialogues: Iterable[Dialogue], template: Template, context: int, console: Console) -> None:
    """Print dialogues with the tokens marked on which the loss is taken.

    Texts come from strangers: what is not printable, and what would turn the terminal's colours or
    direction, is shown by its code.

    Args:
        dialogues: the examples.
        template: how they are encoded.
        context: tokens after which training cuts a dialogue.
        console: where to.

    Raises:
        UserError: the template refuses a dialogue.
    """
    legend = Text.assemble(("supervised", SUPERVISED), "  ", ("not supervised", UNSUPERVISED))
    legend.append("  ").append("cut", CUT).append(f"  {BORDER} border of tokens", "dim")
    console.print(legend)
    controls = template.tokenizer.added_tokens_decoder
    for dialogue in dialogues:
        encoded = encode_dialogue(dialogue, template)
        targets = sum(encoded.supervised[1:context])
        beyond = max(0, len(encoded.ids) - context)
        line = f"{dialogue.id} from {dialogue.source}: {len(encoded.ids)} tokens, "
        line += f"{targets} supervised" + (f", {beyond} cut" if beyond else "")
        console.print(Text("\n" + _printable(line, breaks=False), "bold"), soft_wrap=True)
        shown = Text()
        ids = encoded.ids[: context + CUT_SHOWN]
        texts = token_texts(template.tokenizer, ids)
        for place, (id, text) in enumerate(zip(ids, texts, strict=True)):
            style = SUPERVISED if encoded.supervised[place] else UNSUPERVISED
            style = style if place < context else CUT
            if place:
                shown.append(BORDER, "dim")
            shown.append(_printable(text), style + " reverse" * (id in controls))
        console.print(shown, soft_wrap=True)
        if beyond > CUT_SHOWN:
            console.print(Text(f"... and {beyond - CUT_SHOWN} more tokens are cut", CUT))
        if not targets:
            console.print(Text("left out: nothing within the context is supervised", "yellow"))


def as_json(
    dialogues: Iterable[Dialogue], template: Template, context: int
) -> list[dict[str, Any]]:
    """Dialogues as training sees them, cut to `context` tokens.

    Returns:
        A list of {"id", "tokens": [{"id", "text", "supervised"}]}. A dialogue's texts, joined, are
        its whole text; where a character has several tokens, the last of them holds it.

    Raises:
        UserError: the template refuses a dialogue.
    """
    shown = []
    for dialogue in dialogues:
        encoded = encode_dialogue(dialogue, template)
        ids = encoded.ids[:context]
        rows = zip(ids, token_texts(template.tokenizer, ids), encoded.supervised, strict=False)
        tokens = [{"id": id, "text": text, "supervised": flag} for id, text, flag in rows]
        shown.append({"id": dialogue.id, "tokens": tokens})
    return shown


def token_texts(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> list[str]:
    """The text of each token in a dialogue; a character's is with the last of its tokens."""
    first = [tokenizer.eos_token_id]  # what stands first may lose a space

    def decoded(some: list[int]) -> str:
        text = tokenizer.decode([*first, *some], clean_up_tokenization_spaces=False)
        return str(text).removeprefix(str(tokenizer.eos_token))

    texts, waiting = [], []
    controls = tokenizer.added_tokens_decoder
    for place, id in enumerate(ids):
        waiting.append(id)
        text = decoded(waiting)
        partial = text.endswith("\ufffd") and len(waiting) < LONGEST_CHARACTER
        if partial and place + 1 < len(ids) and ids[place + 1] not in controls:
            texts.append("")
        else:
            texts.append(text)
            waiting = []
    return texts


def _printable(text: str, breaks: bool = True) -> str:
    """`text` with codes for what is not printable; line breaks are marked and kept, if at all."""
    shown = (
        "⏎\n" if breaks and c == "\n" else c if c.isprintable() else f"\\u{ord(c):04x}"
        for c in text
    )
    return "".join(shown)
