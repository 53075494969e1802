"""A causal LM on this machine, base and student alike.

Benchmarks are put to it as raw text, in the words of lm-evaluation-harness, whether or not it has
been tuned to chat: base and student are compared in one form, as Gudibande et al. 2023 do. Weights
are fp32: rounding would change which option is likeliest.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from jinja2.exceptions import TemplateError

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import (
    LETTERS,
    Benchmark,
    ChoiceItem,
    CodeItem,
    ShortItem,
)
from understudy.evaluate.engines import Pick, Program, Reply
from understudy.evaluate.engines.generate import Generated, Generation, generate, until
from understudy.evaluate.engines.likelihood import Row, log_likelihoods
from understudy.files import digest, file_digest
from understudy.models import load_model, load_tokenizer, memory_for
from understudy.progress import progress
from understudy.prompts import Prompt
from understudy.teacher.client import Cost

CACHE_BYTES = 1 << 29  # of keys and values at once, about
FEWEST_TOKENS, MOST_TOKENS = 2048, 65536  # that this may come to
READING = ("evaluating a model", "choose a smaller model or a larger machine")
UNKNOWN_CONTEXT = 2048  # the harness's guess for a model that does not say
PLAIN_STOP = ("\nUser:",)


class LocalEngine:
    """A model directory or hub name, loaded; a UserError says why it cannot be."""

    prompting: Literal["text", "chat"] = "text"

    def __init__(self, model: str) -> None:
        self.name = model
        self.spent: Cost | None = None
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model)
        self.model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        config = self.model.config.get_text_config()
        self.context = getattr(config, "max_position_embeddings", None) or UNKNOWN_CONTEXT
        token_bytes = 2 * 4 * config.num_hidden_layers * config.hidden_size
        self.most_tokens = min(MOST_TOKENS, max(FEWEST_TOKENS, CACHE_BYTES // token_bytes))

    @cached_property
    def identity(self) -> str:
        """Digest of the model's files, or its hub name."""
        folder = Path(self.name)
        return file_digest(folder) if folder.is_dir() else self.name

    def choose(self, benchmark: Benchmark, items: Sequence[ChoiceItem]) -> list[Pick]:
        """The option whose letter is likeliest after the prompt; the first one of equals."""
        options = [[self.encode_pair(item.prompt, f" {a}") for a in LETTERS] for item in items]
        rows = [row for pairs in options for row in _rows(pairs, self.context)]
        with progress(benchmark.name, len(rows)) as task, memory_for(*READING):
            found = log_likelihoods(self.model, rows, self.most_tokens, task)
        values = (value for row in found for value in row)  # one a token, in the options' order
        picks = []
        for pairs in options:
            scores = [sum(next(values) for _ in continuation) for _, continuation in pairs]
            best = max(range(len(scores)), key=scores.__getitem__)
            picks.append(Pick(best, [round(score, 6) for score in scores]))
        return picks

    def answer_shortly(self, benchmark: Benchmark, items: Sequence[ShortItem]) -> list[str | None]:
        """Greedy text up to the first stop text."""
        how = Generation(benchmark.max_tokens or self.context, benchmark.stop)
        prompts = [self.encode(item.prompt) for item in items]
        return [done.text for done in self._generate(prompts, how, benchmark.name)]

    def write_programs(
        self, benchmark: Benchmark, items: Sequence[CodeItem], max_tokens: int
    ) -> list[Program | None]:
        """The prompt and its greedy continuation up to the first stop text."""
        how = Generation(max_tokens, benchmark.stop)
        prompts = [self.encode(item.prompt) for item in items]
        generated = self._generate(prompts, how, benchmark.name)
        programs: list[Program | None] = []
        for item, ids, done in zip(items, prompts, generated, strict=True):
            # The harness decodes the continuation by itself; tokenizers of LLaMA's kind then drop
            # its first space, which breaks a program's indentation.
            inside = until(self._decode_after(ids, done.ids), benchmark.stop)
            source = item.prompt + done.text
            corrected = None if inside == done.text else item.prompt + inside
            programs.append(Program(done.text, source, corrected))
        return programs

    def reply(
        self,
        prompts: Sequence[Prompt],
        samples: int,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> list[list[Reply]]:
        """Free answers; an answer's randomness depends on seed, prompt and sample alone."""
        wanted = [(prompt, sample) for prompt in prompts for sample in range(samples)]
        ids = [self.encode_chat(prompt.chat(), strangers=True) for prompt, _ in wanted]
        seeds = [int(digest([seed, prompt.id, sample])[:12], 16) for prompt, sample in wanted]
        how = Generation(max_tokens, self.chat_stop, temperature)
        flat = [self.as_reply(done) for done in self._generate(ids, how, "answers", seeds)]
        return [flat[start : start + samples] for start in range(0, len(flat), samples)]

    def complete(
        self, texts: Sequence[str], temperature: float, max_tokens: int, seed: int
    ) -> list[str]:
        """What follows each text, to the end of its line; a completion's randomness depends on
        seed and text alone."""
        ids = [self.encode(text) for text in texts]
        seeds = [int(digest([seed, text])[:12], 16) for text in texts]
        how = Generation(max_tokens, ("\n",), temperature)
        return [done.text for done in self._generate(ids, how, "asking the base", seeds)]

    # Text and tokens

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as the harness encodes it: the tokenizer's defaults decide on special
        tokens, and a text that brings its opening token gets no second one."""
        opening = self.tokenizer.bos_token
        if opening and text.startswith(opening):
            return self.tokenizer.encode(text, add_special_tokens=False)
        return self.tokenizer.encode(text)

    def encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Token ids of a context and its continuation, cut from the encoding of both together.

        Spaces at the context's end are counted to the continuation.
        """
        stripped = context.rstrip()
        continuation = context[len(stripped) :] + continuation
        start = self.encode(stripped)
        return start, self.encode(stripped + continuation)[len(start) :]

    def encode_chat(self, messages: list[dict[str, str]], strangers: bool = False) -> list[int]:
        """Token ids of a chat up to where the answer begins.

        With the model's chat template; a model without one is shown a plain dialogue.

        Args:
            messages: system, user and assistant.
            strangers: control tokens in the messages' texts become plain text.
        """
        if not self.tokenizer.chat_template:
            lines = [f"{message['role'].title()}: {message['content']}" for message in messages]
            return self.encode("\n".join([*lines, "Assistant:"]))
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=True,
                sanitize_control_tokens=strangers,
                return_dict=False,
            )
        except TemplateError as error:
            raise UserError(
                f"{self.name}: its chat template refuses a prompt ({str(error)[:200]}); "
                "choose other prompts or another model"
            ) from error

    @property
    def chat_stop(self) -> tuple[str, ...]:
        """The texts that end a chat's answer."""
        return () if self.tokenizer.chat_template else PLAIN_STOP

    def as_reply(self, done: Generated) -> Reply:
        """A chat's answer; a plain dialogue's begins after the space behind `Assistant:`."""
        text = done.text if self.tokenizer.chat_template else done.text.strip()
        return Reply(text, done.finish_reason)

    def _decode_after(self, prompt: list[int], ids: list[int]) -> str:
        """The text that `ids` add to a prompt's."""
        before = str(self.tokenizer.decode(prompt, skip_special_tokens=True))
        return str(self.tokenizer.decode(prompt + ids, skip_special_tokens=True))[len(before) :]

    def _generate(
        self,
        prompts: Sequence[list[int]],
        how: Generation,
        label: str,
        seeds: Sequence[int] | None = None,
    ) -> list[Generated]:
        with progress(label, len(prompts)) as task, memory_for(*READING):
            return generate(
                self.model,
                self.tokenizer,
                prompts,
                seeds or [0] * len(prompts),
                how,
                self.context,
                self.most_tokens,
                task,
            )


def _rows(options: list[tuple[list[int], list[int]]], context: int) -> list[Row]:
    """What to read for the options of one item, cut on the left to the model's context.

    Options of one token behind the same context are read from one row.
    """
    contexts = [start for start, _ in options]
    if all(start == contexts[0] and len(tail) == 1 for start, tail in options):
        ids = contexts[0][-context:]
        return [Row(ids, [(len(ids) - 1, tail[0]) for _, tail in options])]
    rows = []
    for start, tail in options:
        ids = (start + tail)[-(context + 1) : -1]
        first = len(ids) - len(tail)
        rows.append(Row(ids, [(first + offset, token) for offset, token in enumerate(tail)]))
    return rows
