"""What a text model is asked, in tokens, whoever runs it.

Benchmarks are put to it as raw text, in the words of lm-evaluation-harness, whether or not it has
been tuned to chat: base and student are compared in one form, as Gudibande et al. 2023 do. A
subclass runs the model; this class turns items into tokens and tokens into answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import Benchmark, ChoiceItem, CodeItem, ShortItem
from understudy.evaluate.engines import Pick, Program, Programs, Reply, Sampling, Words
from understudy.files import digest
from understudy.prompts import Prompt
from understudy.teacher.client import Cost

PLAIN_STOP = ("\nUser:",)
ENCODED = 1000  # texts at once


@dataclass(frozen=True)
class Row:
    """Token ids, and (position, token) pairs: how likely is the token after that position?"""

    ids: list[int]
    reads: list[tuple[int, int]]


@dataclass(frozen=True)
class Generation:
    """How text is generated; temperature 0 takes the likeliest token."""

    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True)
class Generated:
    """New tokens without the end token, their text up to the stop text, and why it ended."""

    ids: list[int]
    text: str
    finish_reason: str
    seconds: float | None = None


class Runner(Protocol):
    """What a subclass of TextEngine adds: the model itself."""

    @property
    def identity(self) -> str:
        """See Engine."""
        ...

    def weigh(
        self, rows: Sequence[Row], label: str
    ) -> Iterator[tuple[int, list[float], float | None]]:
        """(index, log-likelihood (nats) of each token read, seconds) of each row, as done."""
        ...

    def write(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], how: Generation, label: str
    ) -> Iterator[tuple[int, Generated]]:
        """(index, what was generated) of each prompt, as done; a prompt's randomness depends on
        its seed alone. One too long for the context with its answer is cut on the left (`cut`)."""
        ...


class TextEngine(Runner, Protocol):
    """Benchmarks in tokens. A subclass sets the attributes and runs the model.

    Attributes:
        tokenizer: the model's.
        context: tokens that the model can see.
    """

    name: str
    prompting: Literal["text", "chat"]
    spent: Cost | None
    tokenizer: PreTrainedTokenizerBase
    context: int

    # Benchmarks

    def choose(
        self, benchmark: Benchmark, items: Sequence[ChoiceItem]
    ) -> Iterator[tuple[int, Pick]]:
        """The log-likelihood of each option's continuation."""
        asked = [(item.prompt, text) for item in items for text in item.continuations]
        encoded = iter(self.encode_pairs(asked))
        pairs = [[next(encoded) for _ in item.continuations] for item in items]
        for item, options in zip(items, pairs, strict=True):
            for _, tokens in options:
                if not 0 < len(tokens) <= self.context:
                    raise UserError(
                        f"{benchmark.name}, item {item.id}: an option has {len(tokens)} tokens, "
                        f"and {self.name} can weigh 1 to {self.context}; choose another model"
                    )
        rows: list[Row] = []
        places: list[range] = []  # of each item's rows
        for options in pairs:
            own = rows_of(options, self.context)
            places.append(range(len(rows), len(rows) + len(own)))
            rows += own
        owners = [index for index, own in enumerate(places) for _ in own]
        weighed: dict[int, list[float]] = {}
        seconds = [0.0] * len(items)
        for place, values, took in self.weigh(rows, benchmark.name):
            index = owners[place]
            weighed[place] = values
            seconds[index] += took or 0.0
            if all(own in weighed for own in places[index]):
                read = iter([value for own in places[index] for value in weighed.pop(own)])
                sums = [sum(next(read) for _ in tokens) for _, tokens in pairs[index]]
                yield index, Pick(tuple(round(s, 6) for s in sums), seconds=seconds[index])

    def answer_shortly(
        self, benchmark: Benchmark, items: Sequence[ShortItem]
    ) -> Iterator[tuple[int, Words]]:
        """Greedy text up to the first stop text."""
        how = Generation(benchmark.max_tokens, benchmark.stop)
        prompts = self.encode_all([item.prompt for item in items])
        for index, done in self.write(prompts, [0] * len(items), how, benchmark.name):
            yield index, Words((done.text,), done.seconds)

    def write_programs(
        self, benchmark: Benchmark, items: Sequence[CodeItem], how: Sampling
    ) -> Iterator[tuple[int, Programs]]:
        """Each prompt with its continuation up to the first stop text."""
        generation = Generation(how.max_tokens, benchmark.stop, how.temperature, how.top_p)
        prompts = self.encode_all([item.prompt for item in items])
        names = [item.id for item in items]
        for index, all_done in self._sampled(prompts, names, how, generation, benchmark.name):
            programs = []
            for done in all_done:
                # The harness decodes the continuation by itself; tokenizers of LLaMA's kind then
                # drop its first space, which breaks a program's indentation.
                inside = until(self._decode_after(prompts[index], done.ids), benchmark.stop)
                head = items[index].prompt
                corrected = None if inside == done.text else head + inside
                programs.append(Program(done.text, head + done.text, corrected))
            yield index, Programs(tuple(programs), _longest(all_done))

    def go_on(self, texts: Sequence[str], how: Sampling) -> Iterator[tuple[int, Words]]:
        """Continuations of raw texts."""
        generation = Generation(how.max_tokens, (), how.temperature, how.top_p)
        prompts = self.encode_all(texts)
        for index, all_done in self._sampled(prompts, texts, how, generation, "continuations"):
            yield index, Words(tuple(done.text for done in all_done), _longest(all_done))

    def reply(self, prompts: Sequence[Prompt], how: Sampling) -> list[list[Reply]]:
        """Free answers; an answer's randomness depends on seed, prompt and sample alone."""
        ids = [self.encode_chat(prompt.chat(), strangers=True) for prompt in prompts]
        names = [prompt.id for prompt in prompts]
        generation = Generation(how.max_tokens, self.chat_stop, how.temperature, how.top_p)
        found: dict[int, list[Reply]] = {}
        for index, all_done in self._sampled(ids, names, how, generation, "answers"):
            found[index] = [self.as_reply(done) for done in all_done]
        return [found[index] for index in range(len(prompts))]

    def complete(
        self, texts: Sequence[str], temperature: float, max_tokens: int, seed: int
    ) -> list[str]:
        """What follows each text, to the end of its line; a completion's randomness depends on
        seed and text alone."""
        ids = self.encode_all(texts)
        seeds = [int(digest([seed, text])[:12], 16) for text in texts]
        how = Generation(max_tokens, ("\n",), temperature)
        found = dict(self.write(ids, seeds, how, "asking the base"))
        return [found[index].text for index in range(len(texts))]

    def _sampled(
        self,
        prompts: Sequence[list[int]],
        names: Sequence[str],
        how: Sampling,
        generation: Generation,
        label: str,
    ) -> Iterator[tuple[int, list[Generated]]]:
        """All samples of each prompt, once its last one is done."""
        wanted = [(index, k) for index in range(len(prompts)) for k in range(how.samples)]
        seeds = [int(digest([how.seed, names[index], k])[:12], 16) for index, k in wanted]
        found: dict[int, dict[int, Generated]] = {}
        flat = [prompts[index] for index, _ in wanted]
        for place, done in self.write(flat, seeds, generation, label):
            index, k = wanted[place]
            own = found.setdefault(index, {})
            own[k] = done
            if len(own) == how.samples:
                yield index, [own[k] for k in range(how.samples)]
                del found[index]

    # Text and tokens

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as the harness encodes it: the tokenizer's defaults decide on special
        tokens, and a text that brings its opening token gets no second one. None at all would give
        a model nothing to go on from: an empty text becomes the token that opens, or ends, one."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """See `encode`; of many texts, of which some may be the same."""
        found: list[list[int]] = []
        for start in range(0, len(texts), ENCODED):
            some = texts[start : start + ENCODED]
            tokens = self._tokens(some)
            found += [tokens[text] or self._opening for text in some]
        return found

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        """Token ids of contexts and continuations, cut from the encoding of both together.

        Spaces at a context's end are counted to the continuation.
        """
        found = []
        for place in range(0, len(pairs), ENCODED):
            some = [(one.rstrip(), one + other) for one, other in pairs[place : place + ENCODED]]
            tokens = self._tokens([text for both in some for text in both])
            found += [
                (tokens[start] or self._opening, tokens[whole][len(tokens[start]) :])
                for start, whole in some
            ]
        return found

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

    def _tokens(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """Token ids by text, each text encoded once."""
        opening = self.tokenizer.bos_token
        opened: dict[bool, list[str]] = {True: [], False: []}
        for text in dict.fromkeys(texts):
            opened[bool(opening and text.startswith(opening))].append(text)
        found: dict[str, list[int]] = {}
        for has_opening, some in opened.items():
            if some:
                ids = self.tokenizer(
                    some, add_special_tokens=not has_opening, return_attention_mask=False
                ).input_ids
                found |= zip(some, ids, strict=True)
        return found

    @property
    def _opening(self) -> list[int]:
        known = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, 0)
        return [next(token for token in known if token is not None)]

    def _decode_after(self, prompt: list[int], ids: list[int]) -> str:
        """The text that `ids` add to a prompt's."""
        before = str(self.tokenizer.decode(prompt, skip_special_tokens=True))
        return str(self.tokenizer.decode(prompt + ids, skip_special_tokens=True))[len(before) :]


def rows_of(options: list[tuple[list[int], list[int]]], context: int) -> list[Row]:
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


def cut(prompt: list[int], max_tokens: int, context: int) -> tuple[list[int], int]:
    """A prompt that fits beside its answer, and how long that may be.

    A longer one loses tokens on the left, until the answer has room or half of the context.
    """
    kept = prompt[-(context - min(max_tokens, context // 2)) :]
    return kept, min(max_tokens, context - len(kept))


def until(text: str, stop: tuple[str, ...]) -> str:
    """`text` up to the first of the stop texts."""
    return text[: min((text.find(s) for s in stop if s in text), default=len(text))]


def generated(
    tokenizer: PreTrainedTokenizerBase,
    ids: list[int],
    ended: bool,
    stop: tuple[str, ...],
    seconds: float | None = None,
) -> Generated:
    """What new tokens come to, decoded by themselves as the harness does.

    Args:
        tokenizer: the model's.
        ids: the tokens, without the end token.
        ended: by that, or by a stop text.
        stop: the texts that end it.
        seconds: that it took.
    """
    whole = str(tokenizer.decode(ids, skip_special_tokens=True))
    text = until(whole, stop)
    return Generated(ids, text, "stop" if ended or text != whole else "length", seconds)


def _longest(all_done: Sequence[Generated]) -> float | None:
    """Seconds until the last of an item's samples was there."""
    known = [done.seconds for done in all_done if done.seconds is not None]
    return max(known, default=None)
