"""The perplexity of right answers: how well a model would have said what is right.

An answer's perplexity is exp of the mean nats of its own tokens, without an end token. It is taken
in three forms:

- `perplexity`, the score: behind the task as raw text, in one form for all models;
- `in_chat`: behind the task as the user's message, in the model's chat template, or in the plain
  dialogue that a model without one is shown;
- `unprompted`: without the task, behind the answer's own first token.

GPT4All was evaluated with Self-Instruct's user-oriented tasks, perplexities clipped at 100 (Anand
et al. 2023, arXiv 2311.04931, section 2.4). Its script (nomic-ai/gpt4all, eval_self_instruct.py)
joins instruction, input and answer as raw text, for all models alike, and runs the model over the
tokens behind the task alone: that is `unprompted`. Answers beyond 512 tokens it takes in windows,
weighted by their ends, where here one pass takes as many as the context has room for; answers of
one token its figure puts at 0, where here they have no value.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

from understudy.evaluate.benchmarks.kinds import PerplexityItem
from understudy.evaluate.engines import Losses
from understudy.evaluate.score import item_digest
from understudy.statistics import mean_interval, median_interval, wilson

Record = dict[str, Any]

CLIP = 100.0
OTHERS = ("in_chat", "unprompted")  # metrics beside the score


def perplexity_record(item: PerplexityItem, losses: Losses) -> Record:
    """What is kept of an item: clipped perplexities (the score's as `value`), and their nats."""
    nats = {"value": losses.text, "in_chat": losses.chat, "unprompted": losses.alone}
    record: Record = {
        "id": item.id,
        "prompt": item_digest(item),
        "expected": item.answer,
        "tokens": losses.tokens,
        **{metric: None if loss is None else _clipped(loss) for metric, loss in nats.items()},
        "nats": nats,
    }
    if item.group is not None:
        record["group"] = item.group
    if losses.cut:
        record["cut"] = True
    return record if losses.seconds is None else record | {"seconds": round(losses.seconds, 4)}


def _clipped(nats: float) -> float:
    return round(math.exp(min(nats, math.log(CLIP))), 6)


def perplexity_score(records: Sequence[Record]) -> dict[str, Any]:
    """The score of records of `perplexity_record`, in all and by group; lower is better.

    Score, `in_chat` and `unprompted` are means over items, with 95 % intervals as everywhere;
    `median` and `clipped`, the share of items at the clip, are the score's.
    """
    groups = defaultdict(list)
    for record in records:
        if "group" in record:
            groups[record["group"]].append(record)
    values = [record["value"] for record in records]
    n, at_clip = len(values), values.count(CLIP)
    cut = sum("cut" in record for record in records)
    others = {name: [r[name] for r in records if r[name] is not None] for name in OTHERS}
    return {
        "metric": "perplexity",
        "kind": "perplexity",
        "lower_is_better": True,
        "highest": CLIP,
        **_mean(values),
        "metrics": {
            "median": _figure(median(values), median_interval(values, 1, CLIP), n),
            "clipped": _figure(at_clip / n, wilson(at_clip, n), n),
            **{name: _mean(known) for name, known in others.items() if known},
        },
        "groups": {group: _mean([r["value"] for r in own]) for group, own in groups.items()},
        **({"cut": cut} if cut else {}),
    }


def _mean(values: Sequence[float]) -> dict[str, Any]:
    low, high = mean_interval(np.array(values) / CLIP)
    return _figure(fmean(values), (CLIP * low, CLIP * high), len(values))


def _figure(score: float, interval: tuple[float, float], n: int) -> dict[str, Any]:
    low, high = interval
    return {"score": round(score, 6), "low": round(low, 6), "high": round(high, 6), "n": n}
