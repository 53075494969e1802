"""What a smaller file costs in quality: perplexity and benchmarks, before and after.

Both models are put to the same held-out dialogues and items, and compared in pairs. How a model is
run is another stage's matter, so it is handed in (`Scales`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from understudy.files import read_json, read_jsonl
from understudy.manifest import Stage, run_stage
from understudy.progress import say
from understudy.statistics import Interval, interval, resamples

LOSSES, SCORES = "losses.jsonl", "scores.json"
ORIGINAL = "original"
Losses = list[tuple[float, int]]  # nats and tokens of each dialogue


@dataclass(frozen=True)
class Scales:
    """What quality is measured with.

    Attributes:
        weigh: puts a model (a directory or a GGUF file) to everything and writes into a folder
            LOSSES, a line of "nats" and "tokens" a dialogue: of the assistant's tokens; and, where
            benchmarks are among it, what `evaluate` writes.
        compare: how much higher the benchmarks of the second of two such folders are (see
            `evaluate.compare`).
        settings: what the figures depend on beside the model, as JSON.
        outputs: what is measured: LOSSES, SCORES or both.
        not_measured: what is left out, and why.
    """

    weigh: Callable[[Path, Path], None]
    compare: Callable[[Path, Path], dict[str, Any]]
    settings: dict[str, Any]
    outputs: tuple[str, ...]
    not_measured: dict[str, str] = field(default_factory=dict)


def measure(
    original: Path, files: Mapping[str, Path], scales: Scales, out: Path, seed: int
) -> dict[str, Any]:
    """The quality of files beside that of the model that they were made of.

    Leaves a folder for each in `out`; what is complete there is not measured again.

    Args:
        original: the model's directory.
        files: the GGUF files by kind of quantisation.
        scales: what to measure with.
        out: folder.
        seed: of the intervals' draws.

    Returns:
        `not_measured`; `dialogues` and `tokens`, how many held-out ones the perplexity is of;
        `original` with its `perplexity` and `benchmarks` (scores.json's); and `files`, by kind,
        each with `perplexity`, `ratio` (to the original's, with a 95 % interval) and `benchmarks`
        (`compare`'s). What was not measured is missing.
    """
    found: dict[str, Any] = {"not_measured": dict(scales.not_measured), "files": {}}
    if not scales.outputs:
        return found
    before = _weighed(ORIGINAL, original, scales, out)
    found[ORIGINAL] = _figures(before)
    if SCORES in scales.outputs:
        found["not_measured"] |= read_json(before / SCORES)["not_measured"]
    for kind, file in files.items():
        after = _weighed(kind, file, scales, out)
        found["files"][kind] = _figures(after)
        if LOSSES in scales.outputs:
            own, other = _losses(before), _losses(after)
            found["files"][kind]["ratio"] = ratio(own, other, seed)
            found |= {"dialogues": len(own), "tokens": sum(tokens for _, tokens in own)}
        if found[ORIGINAL].get("benchmarks"):
            found["files"][kind]["benchmarks"] = scales.compare(before, after)["benchmarks"]
        say(f"  {kind}: {_words(found['files'][kind])}")
    return found


def perplexity(losses: Losses) -> float:
    """Of the assistant's tokens of all dialogues together."""
    nats, tokens = map(sum, zip(*losses, strict=True))
    return math.exp(nats / tokens)


def ratio(before: Losses, after: Losses, seed: int) -> Interval:
    """How many times as large the perplexity became, with a bootstrap interval over dialogues."""
    (nats, tokens), (other, _) = (np.array(losses, float).T for losses in (before, after))
    weights = resamples(len(nats), seed)
    return interval(np.exp(weights @ (other - nats) / (weights @ tokens)))


def _weighed(kind: str, model: Path, scales: Scales, out: Path) -> Path:
    """The folder of a model's figures, measured now if they are not there."""
    folder = out / kind

    def work() -> dict[str, Any]:
        say(f"• quality of {kind}")
        scales.weigh(model, folder)
        return {}

    settings, inputs = scales.settings, {"model": model}
    run_stage(Stage(f"quality {kind}", folder, settings, inputs, work, scales.outputs))
    return folder


def _figures(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (folder / LOSSES).exists():
        found["perplexity"] = round(perplexity(_losses(folder)), 6)
    if (folder / SCORES).exists():
        found["benchmarks"] = read_json(folder / SCORES)["benchmarks"]
    return found


def _losses(folder: Path) -> Losses:
    return [(row["nats"], row["tokens"]) for _, row in read_jsonl(folder / LOSSES)]


def _words(found: Mapping[str, Any]) -> str:
    told: Sequence[str] = [
        *([f"perplexity × {found['ratio']['value']:.4f}"] if "ratio" in found else []),
        *(
            f"{name} {100 * one['difference']:+.1f} points"
            for name, one in found.get("benchmarks", {}).items()
        ),
    ]
    return ", ".join(told)
