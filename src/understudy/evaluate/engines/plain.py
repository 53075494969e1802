"""A model run as transformers runs it, padded and without sharing.

For models whose attention `attention.py` cannot do: those with biases by distance, capped scores or
states other than keys and values.
"""

import time
from collections.abc import Iterator, Sequence

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from understudy.evaluate.engines.generate import end_ids
from understudy.evaluate.engines.text import Generated, Generation, Row, cut, generated

MOST_ROWS = 16  # of a batch


@torch.inference_mode()
def weigh(
    model: PreTrainedModel, rows: Sequence[Row], most_tokens: int
) -> Iterator[tuple[int, list[float], float | None]]:
    """See `likelihood.weigh`; padding stands on the right, where nothing real looks."""
    for batch in _batches([len(row.ids) for row in rows], most_tokens):
        begun = time.perf_counter()
        chosen = [rows[index] for index in batch]
        ids = torch.zeros(len(batch), max(len(row.ids) for row in chosen), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(chosen):
            ids[place, : len(row.ids)] = torch.tensor(row.ids)
            mask[place, : len(row.ids)] = 1
        logits = model(ids.to(model.device), attention_mask=mask.to(model.device)).logits
        seconds = (time.perf_counter() - begun) / len(batch)
        for index, row, own in zip(batch, chosen, logits, strict=True):
            places, tokens = torch.tensor(row.reads, device=own.device).unbind(1)
            read = own[places].float().log_softmax(-1)
            yield index, read.gather(1, tokens[:, None])[:, 0].tolist(), seconds


@torch.inference_mode()
def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    how: Generation,
    context: int,
) -> Iterator[tuple[int, Generated]]:
    """See `generate.Writer.write`; one prompt at a time, by transformers' own generation."""
    ends = end_ids(model, tokenizer)
    # A model's own penalties and the like are left aside there, too.
    model.generation_config = GenerationConfig(eos_token_id=sorted(ends) or None, pad_token_id=0)
    for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        begun = time.perf_counter()
        ids, most = cut(prompt, how.max_tokens, context)
        given = torch.tensor([ids], device=model.device)
        sampled = how.temperature > 0
        drawn = {"temperature": how.temperature, "top_p": how.top_p, "top_k": 0} if sampled else {}
        torch.manual_seed(seed)
        out = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=sampled,
            max_new_tokens=most,
            tokenizer=tokenizer,
            stop_strings=list(how.stop) or None,
            **drawn,
        )[0, len(ids) :].tolist()
        ended = out[-1] in ends
        new = out[:-1] if ended else out
        seconds = time.perf_counter() - begun
        yield index, generated(tokenizer, new, ended, how.stop, seconds)


def _batches(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Rows of similar length, the longest first."""
    batches: list[list[int]] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        full = not batches or len(batches[-1]) == MOST_ROWS
        if full or (len(batches[-1]) + 1) * width > most_tokens:
            batches.append([])
            width = lengths[index]
        batches[-1].append(index)
    return batches
