"""A causal LM on this machine, base and student alike.

Weights are fp32 unless asked otherwise: rounding would change which option is likeliest.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import psutil
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from understudy.evaluate.engines import likelihood, plain
from understudy.evaluate.engines.attention import KeysValues, Slots, TreeLayout, attending
from understudy.evaluate.engines.generate import Limits, Writer, step
from understudy.evaluate.engines.text import Generated, Generation, Row, TextEngine
from understudy.evaluate.engines.tree import Node, Walk, grow
from understudy.files import file_digest
from understudy.models import fuse_gelu, load_model, load_tokenizer, memory_for, steady_tokens
from understudy.progress import progress, say
from understudy.teacher.client import Cost

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
READING = ("evaluating a model", "choose a smaller model or a larger machine")
UNKNOWN_CONTEXT = 2048  # the harness's guess for a model that does not say
# On a CPU a pass of some thousand tokens has reached the processor's speed, and more texts than
# these together do not make a step cheaper.
CPU_PASS_BYTES, CPU_CACHE_BYTES, CPU_TEXTS = 1 << 27, 1 << 29, 64
GPU_TEXTS = 512
FEWEST_TOKENS, MOST_TOKENS = 256, 1 << 14  # of a pass
LOGIT_BYTES = 1 << 27  # of a pass
# Two rows that share a beginning, and one that does not; how many tokens are looked at after each.
TRIAL, FIRST = [[*range(1, 25), 3, 1], [*range(1, 25), 2], [4, 2, 3]], 8


class LocalEngine(TextEngine):
    """A model directory or hub name, loaded; a UserError says why it cannot be.

    Args:
        model: its name.
        dtype: number format of the weights.
        loaded: fp32 weights and tokenizer, where the name is that of a file of another kind.

    Attributes:
        shares: texts of up to so many tokens share what they begin with.
    """

    prompting: Literal["text", "chat"] = "text"

    def __init__(
        self,
        model: str,
        dtype: Literal["fp32", "bf16"] = "fp32",
        loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
    ) -> None:
        self.name, self.dtype = model, dtype
        self.spent: Cost | None = None
        weights, self.tokenizer = loaded or (load_model(model), load_tokenizer(model))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = weights.to(device, DTYPES[dtype])
        fuse_gelu(self.model)
        config = self.model.config.get_text_config()
        self.context = getattr(config, "max_position_embeddings", None) or UNKNOWN_CONTEXT
        self.shares = steady_tokens(config) if takes_lines(self.model) else 0
        if not self.shares:
            say(f"  {model}: its attention is of a kind that shares no prefixes; this is slower")

    @cached_property
    def identity(self) -> str:
        """Digest of the model's files, or its hub name; and the number format."""
        content = file_digest(Path(self.name)) if Path(self.name).exists() else self.name
        return content if self.dtype == "fp32" else f"{content} {self.dtype}"

    def weigh(
        self, rows: Sequence[Row], label: str
    ) -> Iterator[tuple[int, list[float], float | None]]:
        """See Runner."""
        vocabulary = self.model.config.get_text_config().vocab_size
        reads = max(1, LOGIT_BYTES // (4 * vocabulary))
        together, alone = self._split([len(row.ids) for row in rows])
        with progress(label, len(rows)) as task, memory_for(*READING):
            own = [rows[index] for index in together]
            shared = likelihood.weigh(self.model, own, self._pass_tokens(), reads)
            own = [rows[index] for index in alone]
            padded = plain.weigh(self.model, own, self._pass_tokens(vocabulary))
            for places, weighed in ((together, shared), (alone, padded)):
                for place, values, seconds in weighed:
                    task.advance()
                    yield places[place], values, seconds

    def write(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], how: Generation, label: str
    ) -> Iterator[tuple[int, Generated]]:
        """See Runner."""
        whole = [min(len(prompt) + how.max_tokens, self.context) for prompt in prompts]
        together, alone = self._split(whole)
        with progress(label, len(prompts)) as task, memory_for(*READING):
            for places, run in ((together, self._write_together), (alone, self._write_alone)):
                own = [prompts[place] for place in places]
                for place, done in run(own, [seeds[place] for place in places], how):
                    task.advance()
                    yield places[place], done

    def _write_together(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], how: Generation
    ) -> Iterator[tuple[int, Generated]]:
        if prompts:
            writer = Writer(self.model, self.tokenizer, how, self._limits)
            yield from writer.write(prompts, seeds, self.context)

    def _write_alone(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], how: Generation
    ) -> Iterator[tuple[int, Generated]]:
        return plain.write(self.model, self.tokenizer, prompts, seeds, how, self.context)

    def _split(self, lengths: Sequence[int]) -> tuple[list[int], list[int]]:
        """The places of the texts that share prefixes, and of those that do not."""
        together = [place for place, length in enumerate(lengths) if length <= self.shares]
        alone = [place for place, length in enumerate(lengths) if length > self.shares]
        return together, alone

    def _pass_tokens(self, outputs: int = 0) -> int:
        """Tokens of one pass, by what their activations and `outputs` logits of each take."""
        config = self.model.config.get_text_config()
        hidden = config.hidden_size
        inner = getattr(config, "intermediate_size", None) or 4 * hidden
        inner = max(inner) if isinstance(inner, list) else inner  # one a layer
        one = self.model.dtype.itemsize * (10 * hidden + 3 * inner + outputs)
        room = CPU_PASS_BYTES if self._on_cpu else torch.cuda.mem_get_info()[0] // 8
        return min(MOST_TOKENS, max(FEWEST_TOKENS, room // one))

    @property
    def _limits(self) -> Limits:
        config = self.model.config.get_text_config()
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        states = (getattr(config, "num_key_value_heads", None) or heads) * width
        one = 2 * self.model.dtype.itemsize * config.num_hidden_layers * states
        if self._on_cpu:
            room = min(CPU_CACHE_BYTES, psutil.virtual_memory().available // 4)
        else:
            room = torch.cuda.mem_get_info()[0] // 3
        texts = CPU_TEXTS if self._on_cpu else GPU_TEXTS
        return Limits(self._pass_tokens(), max(self.context, room // one), texts)

    @property
    def _on_cpu(self) -> bool:
        return self.model.device.type == "cpu"


@torch.inference_mode()
def takes_lines(model: PreTrainedModel) -> bool:
    """Whether a model gives its own numbers when it is run on lines of a tree and in slots.

    It is found out by a trial, in which lower precision may put it off by little more than it puts
    the plain (eager) form of the model's own attention off.
    """
    vocabulary = model.config.get_text_config().vocab_size
    rows = [[token % vocabulary for token in row] for row in TRIAL]
    own = _alone(model, rows)
    try:
        off = max(_off(run(model, rows), own) for run in (_in_lines, _in_one_line, _in_slots))
        exact = model.dtype == torch.float32
        return off <= (1e-3 if exact else 0.02 + 4 * _off(_in_eager(model, rows), own))
    except Exception:  # a model's code may fail in any way on what it was not made for
        return False


def _off(found: Tensor, own: Tensor) -> float:
    return float((found - own).abs().max())


def _alone(model: PreTrainedModel, rows: list[list[int]]) -> Tensor:
    """The log-probabilities of the first tokens of the vocabulary after each row."""
    ids = [torch.tensor([row], device=model.device) for row in rows]
    return torch.stack([_first(model(one).logits[0, -1]) for one in ids])


def _in_eager(model: PreTrainedModel, rows: list[list[int]]) -> Tensor:
    """The same, by the plain form of the model's attention."""
    with attending(model, "eager"):
        return _alone(model, rows)


def _in_lines(model: PreTrainedModel, rows: list[list[int]], most_tokens: int = 1) -> Tensor:
    """The same, each node of their tree in a line of its own."""
    first = range(min(FIRST, model.config.get_text_config().vocab_size))
    reads = [Row(row, [(len(row) - 1, token) for token in first]) for row in rows]
    weighed = {row: values for row, values, _ in likelihood.weigh(model, reads, most_tokens, 100)}
    return torch.tensor([weighed[row] for row in range(len(rows))])


def _in_one_line(model: PreTrainedModel, rows: list[list[int]]) -> Tensor:
    """The same, their tree in one line."""
    return _in_lines(model, rows, 100)


def _in_slots(model: PreTrainedModel, rows: list[list[int]]) -> Tensor:
    """The same, of their last tokens, which come when the others are in slots."""
    nodes = grow([row[:-1] for row in rows])
    earlier: dict[Node, list[KeysValues]] = {}
    line = Walk(nodes).line(100, 100, [1] * len(nodes))
    likelihood.run(model, line, TreeLayout(line, earlier, nodes, model.device), [0])
    slots = Slots()
    slots.make_room(len(rows), max(map(len, rows)), like=earlier[nodes[0]])
    for node in nodes:
        for row in node.rows:
            slots.put(row, [earlier[above] for above in (*node.path, node)])
    last = step(model, slots, [row[-1] for row in rows], [len(row) - 1 for row in rows])
    return torch.stack([_first(own) for own in last])


def _first(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(-1)[:FIRST].cpu()
