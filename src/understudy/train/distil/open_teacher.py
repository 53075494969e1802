"""A teacher whose weights are at hand: its whole distribution at every target.

It has to read as the student does, the template's control tokens included. Only then is its token
i the student's token i, after the same tokens.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from understudy.errors import UserError
from understudy.models import load_model, load_tokenizer
from understudy.train.data import Batch
from understudy.train.loss import Trainee, autocast
from understudy.train.speed import DTYPES
from understudy.train.template import Template

# Texts on which tokenizers with equal vocabularies come apart: merges, digits, white space, signs.
PROBES = (
    "The lamp-keeper's daughters weren't asleep; they'd counted 1,024 ships by half past eleven.",
    "  two spaces\ttab\n\n\nthree lines  \r\nand 3.14159 + 2718281828 = ?",
    "def area(width: int) -> float:\n    return width ** 2 / 4  # x_1 != y[0]\n",
    "Zoë's naïve café — “quoted” … Ωμέγα, Привет, 東京タワー, مرحبا, नमस्ते",
    "🧭🏽‍🚀 e\u0301 ﬁ ½ Å https://example.org/a?b=c&d=%20",
    "- one\n- two\n\n| a | b |\n|---|---|\n**bold** `code` $x^2$",
)
MEND = "name a teacher of the base's family, or train.distil.teacher: ledger"


class OpenTeacher:
    """A frozen model that scores what a student reads.

    Args:
        model: on its device; it is changed as `Trainee` changes models, and cast.
        size: how many tokens, from 0 on, it shares with the student.
        dtype: number format, fp32 or bf16.
    """

    def __init__(self, model: PreTrainedModel, size: int, dtype: str) -> None:
        self.size = size
        self._trainee = Trainee(model.eval(), dtype)  # which tries it, in fp32
        model.requires_grad_(False).to(DTYPES[dtype])

    @torch.no_grad()
    def states(self, batch: Batch) -> Tensor:
        """What its logits are made of before the targets of a batch, shape (m, hidden).

        Of a model that is run as it is, these are its logits.
        """
        trainee = self._trainee
        return trainee.logits(batch) if trainee.obstacle else trainee.hidden(batch)

    @torch.no_grad()
    def logits(self, states: Tensor) -> Tensor:
        """Its logits over the shared tokens, fp32, for some of these states: (c, size)."""
        if not self._trainee.obstacle:
            with autocast(states.device, self._trainee.dtype):
                states = self._trainee.model.get_output_embeddings()(states)
        return states[:, : self.size].float()


def load_teacher(
    name: str, template: Template, context: int, dtype: str, device: torch.device
) -> OpenTeacher:
    """The teacher in a model directory or under a hub name.

    Args:
        name: the directory or name.
        template: the student's, bound.
        context: tokens of the longest dialogue.
        dtype: number format, fp32 or bf16.
        device: to compute on.

    Raises:
        UserError: it cannot be loaded, its tokens are not the student's, or it does not take as
            many tokens.
    """
    size = shared_tokens(name, load_tokenizer(name), template)
    model = load_model(name)
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", context)
    if context > longest:
        raise UserError(
            f"train.context: {context} tokens, but the teacher {name} takes {longest}; lower it"
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < size:
        raise UserError(f"{name}: has {rows} embeddings for {size} tokens; {MEND}")
    return OpenTeacher(model.to(device), size, dtype)


def shared_tokens(name: str, teacher: PreTrainedTokenizerBase, template: Template) -> int:
    """How many tokens, from 0 on, the student has that the teacher has as well, which must be all.

    The student's padding, which no model reads, may stand behind them and be its own.

    Raises:
        UserError: the teacher `name` has another token, or none, under one of the ids, or splits a
            text otherwise.
    """
    student = template.tokenizer
    own, theirs = student.get_vocab(), teacher.get_vocab()
    size = 1 + max(id for token, id in own.items() if token != student.pad_token)
    for token, id in sorted(own.items(), key=lambda item: item[1]):
        if id >= size or theirs.get(token) == id:
            continue
        if id in template.added:
            raise UserError(
                f"train.distil.teacher: {name} does not know the template's {token!r}; name a "
                "teacher that was trained with this template, or set train.template to own"
            )
        raise UserError(
            f"train.distil.teacher: token {id} is {token!r} here, but not in {name}, so the "
            f"tokenizers differ; {MEND}"
        )
    for text in PROBES:
        if student.encode(text, add_special_tokens=False) != teacher.encode(
            text, add_special_tokens=False
        ):
            raise UserError(
                f"train.distil.teacher: {name} has the base's tokens but splits text otherwise "
                f"({text[:20]!r}...), so the tokenizers differ; {MEND}"
            )
    return size
