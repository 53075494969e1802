"""Batched generation with cached keys and values.

Prompts are padded on the left; masks and positions make the padding invisible, to absolute and to
rotary positions alike. A sequence that is finished leaves the batch. Sampled tokens are drawn by a
generator of the sequence's own, so that an answer does not depend on its neighbours.

Temperature, end tokens and stop texts are all there is: other settings of a model's
generation_config (penalties, top-p) are not applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from understudy.progress import Task

MOST_ROWS = 64  # a batch


@dataclass(frozen=True)
class Generation:
    """How text is generated; temperature 0 takes the likeliest token."""

    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0


@dataclass(frozen=True)
class Generated:
    """New tokens without the end token, their text up to the stop text, and why it ended."""

    ids: list[int]
    text: str
    finish_reason: str


@dataclass
class _Sequence:
    """A prompt on its way."""

    prompt: list[int]
    most: int
    random: torch.Generator
    ids: list[int] = field(default_factory=list)
    done: Generated | None = None


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    how: Generation,
    context: int,
    most_tokens: int,
    task: Task,
) -> list[Generated]:
    """Continue prompts.

    Args:
        model: a causal LM.
        tokenizer: its tokenizer.
        prompts: token ids; one too long for the context with its answer is cut on the left, to
            half of the context at most.
        seeds: one a prompt, for sampling.
        how: see Generation.
        context: tokens that the model can see.
        most_tokens: keys and values held at once, in tokens.
        task: advanced by one a prompt.
    """
    room = min(how.max_tokens, context // 2)
    sequences = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        kept = prompt[-(context - room) :]
        most = min(how.max_tokens, context - len(kept))
        sequences.append(_Sequence(kept, most, torch.Generator().manual_seed(seed)))
    waiting = sorted(sequences, key=lambda sequence: -len(sequence.prompt))
    while waiting:
        width = len(waiting[0].prompt) + how.max_tokens
        count = max(1, min(MOST_ROWS, most_tokens // width))
        batch, waiting = waiting[:count], waiting[count:]
        _continue(model, tokenizer, batch, how, task)
    return [sequence.done for sequence in sequences if sequence.done]


def _continue(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    live: list[_Sequence],
    how: Generation,
    task: Task,
) -> None:
    """Take a batch to its end."""
    device, ends = model.device, end_ids(model, tokenizer)
    width = max(len(sequence.prompt) for sequence in live)
    ids = torch.zeros(len(live), width, dtype=torch.long)  # padded with any token
    mask = torch.zeros(len(live), width, dtype=torch.long)
    for place, sequence in enumerate(live):
        ids[place, width - len(sequence.prompt) :] = torch.tensor(sequence.prompt)
        mask[place, width - len(sequence.prompt) :] = 1
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    while True:
        logits = model(
            ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = _next_tokens(logits.float().cpu(), live, how.temperature)
        for sequence, token in zip(live, tokens, strict=True):
            sequence.done = _after(sequence, token, ends, tokenizer, how.stop)
        stay = [place for place, sequence in enumerate(live) if not sequence.done]
        task.advance(len(live) - len(stay))
        if not stay:
            return
        if len(stay) < len(live):
            kept = torch.tensor(stay, device=device)
            cache.batch_select_indices(kept)
            mask, positions = mask[kept], positions[kept]
            live, tokens = [live[place] for place in stay], [tokens[place] for place in stay]
        ids = torch.tensor(tokens, device=device)[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        positions = positions[:, -1:] + 1


def _next_tokens(logits: torch.Tensor, live: list[_Sequence], temperature: float) -> list[int]:
    if temperature == 0:
        return logits.argmax(-1).tolist()
    shares = (logits / temperature).softmax(-1)
    drawn = [
        torch.multinomial(share, 1, generator=sequence.random)
        for share, sequence in zip(shares, live, strict=True)
    ]
    return [int(token) for token in drawn]


def _after(
    sequence: _Sequence,
    token: int,
    ends: frozenset[int],
    tokenizer: PreTrainedTokenizerBase,
    stop: tuple[str, ...],
) -> Generated | None:
    """What a sequence has become with one more token; None while it goes on."""
    ended = token in ends
    if not ended:
        sequence.ids.append(token)
    full = len(sequence.ids) == sequence.most
    if not (ended or full or stop):
        return None
    text = str(tokenizer.decode(sequence.ids, skip_special_tokens=True))
    cut = until(text, stop)
    if not (ended or full or cut != text):
        return None
    return Generated(sequence.ids, cut, "stop" if ended or cut != text else "length")


def until(text: str, stop: tuple[str, ...]) -> str:
    """`text` up to the first of the stop texts."""
    return text[: min((text.find(s) for s in stop if s in text), default=len(text))]


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end an answer: the generation_config's, or else the tokenizer's."""
    named = model.generation_config.eos_token_id if model.generation_config else None
    named = tokenizer.eos_token_id if named is None else named
    return frozenset([] if named is None else [named] if isinstance(named, int) else named)
