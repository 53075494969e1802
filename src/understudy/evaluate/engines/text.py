"""What a text model is asked, in tokens, whoever runs it.

Benchmarks are put to it as raw text, in the words of lm-evaluation-harness, whether or not it has
been tuned to chat: base and student are compared in one form, as Gudibande et al. 2023 do. A
subclass runs the model; this class turns items into tokens and tokens into answers.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, Protocol

from transformers import PreTrainedTokenizerBase

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import (
    Benchmark,
    ChoiceItem,
    CodeItem,
    PerplexityItem,
    ShortItem,
)
from understudy.evaluate.engines import (
    Losses,
    Pick,
    Program,
    Programs,
    Reply,
    Sampling,
    Words,
)
from understudy.evaluate.engines.encoding import Encoding
from understudy.files import digest
from understudy.prompts import Prompt
from understudy.teacher.client import Cost

PLAIN_STOP = ("\nUser:",)


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


class TextEngine(Runner, Encoding, Protocol):
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

    def read_answers(
        self, benchmark: Benchmark, items: Sequence[PerplexityItem]
    ) -> Iterator[tuple[int, Losses]]:
        """How unlikely each answer is: behind its task as text and in a chat, and alone."""
        pairs = self.encode_pairs([(item.prompt, item.continuation) for item in items])
        forms = [
            {"text": (task, answer), "chat": chat, "alone": (answer[:1], answer[1:])}
            for (task, answer), chat in zip(pairs, map(self.encode_answered, items), strict=True)
        ]
        asked = [
            (index, form)
            for index, own in enumerate(forms)
            for form, (_, answer) in own.items()
            if answer
        ]
        wanted = Counter(index for index, _ in asked)
        rows = [answer_row(*forms[index][form], self.context) for index, form in asked]
        read: dict[int, dict[str, list[float]]] = defaultdict(dict)
        seconds = [0.0] * len(items)
        for place, values, took in self.weigh(rows, benchmark.name):
            index, form = asked[place]
            read[index][form] = values
            seconds[index] += took or 0.0
            if len(read[index]) == wanted[index]:
                own, (_, answer) = read.pop(index), pairs[index]
                nats = {form: round(-fmean(values), 6) for form, values in own.items()}
                kept = len(own["text"])
                yield index, Losses(kept, **nats, cut=kept < len(answer), seconds=seconds[index])

    def go_on(self, texts: Sequence[str], how: Sampling) -> Iterator[tuple[int, Words]]:
        """Continuations of raw texts."""
        generation = Generation(how.max_tokens, (), how.temperature, how.top_p)
        prompts = self.encode_all(texts)
        for index, all_done in self._sampled(prompts, texts, how, generation, "continuations"):
            yield index, Words(tuple(done.text for done in all_done), _longest(all_done))

    def reply(self, prompts: Sequence[Prompt], how: Sampling) -> list[list[Reply]]:
        """Free answers; an answer's randomness depends on seed, prompt and sample alone."""
        ids = [self.encode_chat(prompt.chat_with_inputs(), strangers=True) for prompt in prompts]
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

    # Chats

    @property
    def chat_stop(self) -> tuple[str, ...]:
        """The texts that end a chat's answer."""
        return () if self.tokenizer.chat_template else PLAIN_STOP

    def as_reply(self, done: Generated) -> Reply:
        """A chat's answer; a plain dialogue's begins after the space behind `Assistant:`."""
        text = done.text if self.tokenizer.chat_template else done.text.strip()
        return Reply(text, done.finish_reason)


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


def answer_row(start: list[int], answer: list[int], context: int) -> Row:
    """How to read an answer of given tokens, as many as have room beside what precedes them."""
    kept, most = cut(start, len(answer), context)
    reads = [(len(kept) - 1 + place, token) for place, token in enumerate(answer[:most])]
    return Row([*kept, *answer[: most - 1]], reads)


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
