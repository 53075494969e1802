"""Generation with continuous batching: as soon as a text is finished, the next prompt takes its
place.

Prompts go through the model as a tree, so that what they begin with in common is computed once, and
the samples of one prompt share it. A sampled token depends on its text's seed alone, not on what is
in the batch beside it.

Temperature, top-p, end tokens and stop texts are all there is: other settings of a model's
generation_config (penalties, top-k) are not applied.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from understudy.evaluate.engines.attention import (
    STEP,
    KeysValues,
    Slots,
    StepLayout,
    TreeLayout,
    logits,
)
from understudy.evaluate.engines.likelihood import run
from understudy.evaluate.engines.text import Generated, Generation, cut, generated, until
from understudy.evaluate.engines.tree import Node, Walk, grow

REFILL = 1 / 4  # of the slots are free before prompts are read, so that a pass is worth its while
TAIL = 8  # tokens beyond a stop text's characters in which it is looked for


@dataclass(eq=False)
class Text:
    """A prompt on its way."""

    index: int
    length: int  # of the prompt, in tokens
    most: int
    random: torch.Generator | None
    begun: float = 0.0
    ids: list[int] = field(default_factory=list)

    @property
    def worst(self) -> int:
        """Tokens of a slot, prompt included, that it may come to."""
        return -(-(self.length + self.most) // STEP) * STEP


# A text whose prompt was read, with the keys and values of its nodes.
Ready = tuple[Text, list[list[KeysValues]]]


@dataclass(frozen=True)
class Limits:
    """What generation may hold and do at once.

    Attributes:
        pass_tokens: tokens of prompts in one pass.
        cache_tokens: tokens whose keys and values are held in slots.
        texts: that grow together.
    """

    pass_tokens: int
    cache_tokens: int
    texts: int


class Writer:
    """Continues prompts with one model.

    Args:
        model: a causal LM that takes lines (`local.takes_lines`).
        tokenizer: its tokenizer.
        how: see Generation.
        limits: see Limits.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        how: Generation,
        limits: Limits,
    ) -> None:
        self._model, self._tokenizer, self._how, self._limits = model, tokenizer, how, limits
        self._ends = end_ids(model, tokenizer)
        self._tail = max((len(stop) for stop in how.stop), default=0) + TAIL
        self._slots, self._live = Slots(), list[Text]()
        self._earlier: dict[Node, list[KeysValues]] = {}

    def write(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], context: int
    ) -> Iterator[tuple[int, Generated]]:
        """Continue prompts, which are cut to the context; (index, continuation) as they are done.

        A text's randomness depends on its seed alone.
        """
        texts, kept = [], []
        for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            ids, most = cut(prompt, self._how.max_tokens, context)
            random = torch.Generator().manual_seed(seed) if self._how.temperature else None
            texts.append(Text(index, len(ids), most, random))
            kept.append(ids)
        nodes = grow(kept)
        costs = [len(node.rows) for node in nodes]
        walk = Walk(nodes)
        ready: deque[Ready] = deque()
        while walk or ready or self._live:
            places = self._places(self._worst(ready))
            if not self._live or places - len(self._live) >= REFILL * places:
                while walk and (free := places - len(self._live) - len(ready)) > 0:
                    few = max(1, int(REFILL * places))  # what was read is held twice until it joins
                    for text, path in self._read(walk, costs, min(few, free), texts):
                        if done := self._finished(text):
                            yield text.index, done
                        else:
                            ready.append((text, path))
                    self._join(ready)
                    places = self._places(self._worst(ready))
            self._join(ready)
            if self._live:
                yield from self._step()

    @torch.inference_mode()
    def _join(self, ready: deque[Ready]) -> None:
        """Give free slots to texts that are ready, the first ones first."""
        joining: list[Ready] = []
        worst = self._worst(())
        while ready:
            worst = max(worst, ready[0][0].worst)
            if len(self._live) + len(joining) >= self._places(worst):
                break
            joining.append(ready.popleft())
        if not joining:
            return
        texts = [*self._live, *(text for text, _ in joining)]
        longest = max(text.length + len(text.ids) for text in texts)
        self._slots.make_room(len(texts), longest, like=joining[0][1][0])
        for text, path in joining:
            self._slots.put(len(self._live), path)
            self._live.append(text)

    def _worst(self, ready: Iterable[Ready]) -> int:
        """Tokens to which the longest of the live and the ready texts may come."""
        texts = (*self._live, *(text for text, _ in ready))
        return max((text.worst for text in texts), default=1)

    def _places(self, worst: int) -> int:
        """How many texts may be held that may come to so many tokens each."""
        return max(1, min(self._limits.texts, self._limits.cache_tokens // worst))

    @torch.inference_mode()
    def _read(
        self, walk: Walk, costs: Sequence[int], most: int, texts: Sequence[Text]
    ) -> list[Ready]:
        """Take prompts through the model; they come with their first tokens and their caches."""
        begun = time.perf_counter()
        line = walk.line(self._limits.pass_tokens, most, costs)
        ending = [node for node in line.nodes if node.rows]
        layout = TreeLayout(line, self._earlier, line.nodes, self._model.device)
        stops = dict(zip(line.nodes, line.starts[1:], strict=True))
        ends = run(self._model, line, layout, [stops[node] - 1 for node in ending] or [0])
        read = []
        for node, scores in zip(ending, ends, strict=False):
            path = [self._earlier[above] for above in (*node.path, node)]
            own = [texts[row] for row in node.rows]
            for text, token in zip(own, self._draw(scores.expand(len(own), -1), own), strict=True):
                text.begun = begun
                text.ids.append(token)
                read.append((text, path))
        needed = set(line.needed)
        for node in (*line.spent, *(node for node in line.nodes if node not in needed)):
            del self._earlier[node]
        return read

    @torch.inference_mode()
    def _step(self) -> list[tuple[int, Generated]]:
        """One more token for every live text; those that are finished with it leave."""
        live = self._live
        positions = [text.length + len(text.ids) - 1 for text in live]
        self._slots.make_room(len(live), max(positions) + 1)
        scores = step(self._model, self._slots, [text.ids[-1] for text in live], positions)
        for text, token in zip(live, self._draw(scores, live), strict=True):
            text.ids.append(token)
        finished = []
        for place in reversed(range(len(live))):
            if done := self._finished(live[place]):
                finished.append((live[place].index, done))
                last = live.pop()
                if place < len(live):
                    self._slots.move(len(live), place, last.length + len(last.ids) - 1)
                    live[place] = last
        return finished

    def _draw(self, scores: Tensor, texts: Sequence[Text]) -> list[int]:
        """A token for each text from its row of logits."""
        if self._how.temperature == 0:
            return scores.argmax(-1).tolist()
        shares = (scores.float() / self._how.temperature).softmax(-1)
        at = torch.tensor(
            [float(torch.rand(1, generator=text.random)) for text in texts], device=scores.device
        )
        if self._how.top_p < 1:
            shares, order = shares.sort(-1, descending=True)
            before = shares.cumsum(-1) - shares
            shares = shares.masked_fill(before >= self._how.top_p, 0.0)
        sums = shares.cumsum(-1)
        drawn = torch.searchsorted(sums, (at * sums[:, -1])[:, None], right=True)
        drawn = drawn.clamp_(max=shares.shape[1] - 1)
        if self._how.top_p < 1:
            drawn = order.gather(1, drawn)
        return drawn[:, 0].tolist()

    def _finished(self, text: Text) -> Generated | None:
        """What a text has become with its last token; None while it goes on."""
        ended = text.ids[-1] in self._ends
        ids = text.ids[:-1] if ended else text.ids
        full = len(ids) == text.most
        if not (ended or full or self._stops(ids[-self._tail :])):
            return None
        seconds = time.perf_counter() - text.begun
        done = generated(self._tokenizer, list(ids), ended, self._how.stop, seconds)
        return done if full or done.finish_reason == "stop" else None

    def _stops(self, ids: list[int]) -> bool:
        """Whether the last tokens hold a stop text."""
        if not self._how.stop:
            return False
        tail = str(self._tokenizer.decode(ids, skip_special_tokens=True))
        return until(tail, self._how.stop) != tail


def step(
    model: PreTrainedModel, slots: Slots, ids: Sequence[int], positions: Sequence[int]
) -> Tensor:
    """The logits, (n, vocabulary), of one more token in each of the first n slots."""
    places = torch.tensor(positions, device=model.device)
    layout = StepLayout(slots, places, max(positions) + 1)
    return logits(model, layout, torch.tensor(ids, device=model.device), places)


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end an answer: the generation_config's, or else the tokenizer's."""
    named = model.generation_config.eos_token_id if model.generation_config else None
    named = tokenizer.eos_token_id if named is None else named
    return frozenset([] if named is None else [named] if isinstance(named, int) else named)
