"""The student's own answers, for a teacher to score.

A student that is trained on its teacher's texts alone never sees the states that its own mistakes
lead to. So on some steps it answers by itself, and learns from the teacher's distributions at what
it wrote (Agarwal et al. 2023, "On-Policy Distillation of Language Models", algorithm 1). What was
sampled is taken as given: no gradient goes through it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from understudy.files import digest
from understudy.recipe import DistilSettings
from understudy.train.attention import NAME
from understudy.train.data import Batch
from understudy.train.template import Template


@dataclass(frozen=True)
class OwnBatch(Batch):
    """A batch in which the targets are the student's own words."""


def is_own_step(step: int, share: float) -> bool:
    """Whether step `step`, counted from 1, is one of the `share` that are on-policy."""
    return int(step * share) > int((step - 1) * share)


@torch.no_grad()
def own_answers(
    model: PreTrainedModel,
    template: Template,
    batch: Batch,
    settings: DistilSettings,
    seed: int,
    step: int,
) -> OwnBatch | None:
    """The dialogues of a batch with the student's last answers in place of the real ones.

    It writes at temperature 1 from its whole distribution, up to `settings.max_tokens` and at most
    half of what the model takes. Its words, the end token included where it came to one, are the
    targets. What it draws depends on its weights, the seed, the step and the dialogues alone.

    Args:
        model: the student, as it is now.
        template: bound to its tokenizer.
        batch: real dialogues, on the model's device.
        settings: the recipe's.
        seed: of the training.
        step: its number.

    Returns:
        None if no dialogue leaves room for an answer; those that do not are left out.
    """
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    most = min(settings.max_tokens, limit // 2) if limit else settings.max_tokens
    prompts = [p for p in _prompts(batch) if limit is None or len(p) + most <= limit]
    if not prompts:
        return None
    drawn_for = [seed, step, [prompt.tolist() for prompt in prompts]]
    pad_id = template.tokenizer.pad_token_id
    longest = max(map(len, prompts))
    ids = batch.ids.new_full((len(prompts), longest), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    devices = [ids.device] if ids.is_cuda else []
    with _writing(model, _sampling(model, template, most)), torch.random.fork_rng(devices):
        torch.manual_seed(int(digest(drawn_for)[:16], 16) >> 1)
        written = model.generate(input_ids=ids, attention_mask=mask)
    answers = [_until(row, template.end_id) for row in written[:, longest:]]
    return _batch(prompts, answers)


def _prompts(batch: Batch) -> Iterator[Tensor]:
    """All that comes before the last answer, of each dialogue that has one."""
    places = batch.where.cpu()
    for start, end in pairwise(batch.starts):
        own = places[(places >= start) & (places < end)]
        if len(own):
            gaps = (own.diff() > 1).nonzero().flatten()
            first = own[gaps[-1] + 1] if len(gaps) else own[0]
            yield batch.ids[start : int(first) + 1]


def _sampling(model: PreTrainedModel, template: Template, most: int) -> GenerationConfig:
    """Draws from the whole distribution, rows of the head that are no token's excepted.

    Padding is excepted as well: a teacher need not know it, and what follows an end is told by it.
    """
    tokenizer = template.tokenizer
    rows = model.get_output_embeddings().weight.shape[0]
    nobodys = set(range(rows)) - set(tokenizer.get_vocab().values()) | {tokenizer.pad_token_id}
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=most,
        suppress_tokens=sorted(nobodys),
        eos_token_id=template.end_id,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
    )


@contextmanager
def _writing(model: PreTrainedModel, sampling: GenerationConfig) -> Iterator[None]:
    """Within, a model in training writes: padded rows side by side, from a cache, its way alone."""
    before = model.config._attn_implementation, model.generation_config, model.training
    if model.config._attn_implementation == NAME:  # of training, which has no cache
        model.config._attn_implementation = "sdpa"
    model.generation_config = sampling
    model.eval()
    try:
        yield
    finally:
        model.config._attn_implementation, model.generation_config, training = before
        model.train(training)


def _until(ids: Tensor, end_id: int) -> Tensor:
    """The ids up to the first end, it included."""
    ends = (ids == end_id).nonzero().flatten()
    return ids[: int(ends[0]) + 1] if len(ends) else ids


def _batch(prompts: Sequence[Tensor], answers: Sequence[Tensor]) -> OwnBatch:
    """Dialogues as one line, with the answers as targets."""
    pairs = list(zip(prompts, answers, strict=True))
    ids = torch.cat([part for pair in pairs for part in pair])
    sizes = [len(prompt) + len(answer) for prompt, answer in pairs]
    starts = tuple(accumulate(sizes, initial=0))
    device = ids.device
    positions = torch.cat([torch.arange(size, device=device) for size in sizes])
    where = torch.cat(
        [
            torch.arange(start + len(prompt) - 1, start + size - 1, device=device)
            for start, size, prompt in zip(starts, sizes, prompts, strict=False)
        ]
    )
    return OwnBatch(ids, positions, starts, where, ids[where + 1])
