"""understudy takes a benchmark, as its evaluate stage does.

    python benchmarks/peers/run_evaluate.py FOLDER

FOLDER holds job.json (benchmarks/peers/sides.py, `Job`). Writes found.json there: the items'
answers, in their order; the seconds from items that are read to their answers, tokenising included;
the peak of memory in MiB; and the least work that the answers need.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from memory import peak_mib
from torch import nn

from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.benchmarks.kinds import Benchmark, ChoiceItem, ShortItem
from understudy.evaluate.engines import Pick, Words
from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.engines.text import Generated, Generation, Row, cut
from understudy.evaluate.score import choice_record, short_record
from understudy.progress import set_quiet

METRICS = {"accuracy": "acc", "accuracy_norm": "acc_norm"}  # as the harness calls them


class Noted(LocalEngine):
    """Notes what the model is asked, and how much it wrote."""

    def __init__(self, model: str, dtype: str) -> None:
        super().__init__(model, dtype)
        self.asked: list[list[int]] = []
        self.written: list[int] = []  # tokens, behind each prompt
        self.read = 0  # positions at which the head is needed

    def weigh(
        self, rows: Sequence[Row], label: str
    ) -> Iterator[tuple[int, list[float], float | None]]:
        self.asked = [row.ids for row in rows]
        self.read = sum(len({position for position, _ in row.reads}) for row in rows)
        return super().weigh(rows, label)

    def write(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], how: Generation, label: str
    ) -> Iterator[tuple[int, Generated]]:
        self.asked = [cut(prompt, how.max_tokens, self.context)[0] for prompt in prompts]
        self.written = [0] * len(prompts)
        for index, done in super().write(prompts, seeds, how, label):
            self.written[index] = len(done.ids)
            self.read += len(done.ids)
            yield index, done

    def work(self) -> dict[str, float]:
        """Tokens asked, those of them that no other text begins with as well, tokens written, and
        floating-point operations for the latter two.

        2 a token and weight of the body, 2 a position and weight of the head, and in attention 4 a
        hidden unit and layer for every token that a token sees, itself included.
        """
        distinct, seen = 0, 0
        for before, ids in zip([[], *sorted(self.asked)], sorted(self.asked), strict=False):
            shared = common(before, ids)
            distinct += len(ids) - shared
            seen += sum(range(shared + 1, len(ids) + 1))
        for ids, count in zip(self.asked, self.written, strict=False):
            seen += sum(range(len(ids) + 1, len(ids) + count + 1))
        written = sum(self.written)
        body, head = weights(self.model)
        config = self.model.config.get_text_config()
        attention = 4 * config.num_hidden_layers * config.hidden_size * seen
        return {
            "asked": sum(map(len, self.asked)),
            "distinct": distinct,
            "written": written,
            "flops": 2 * body * (distinct + written) + 2 * head * self.read + attention,
        }


def common(first: list[int], second: list[int]) -> int:
    """How many tokens two texts begin with in common."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def weights(model: nn.Module) -> tuple[int, int]:
    """Of the body, without the embeddings, which are looked up; and of the head."""
    body = getattr(model, model.base_model_prefix)
    tables = {id(m.weight) for m in body.modules() if isinstance(m, nn.Embedding)}
    multiplied = sum(p.numel() for p in body.parameters() if id(p) not in tables)
    return multiplied, model.get_output_embeddings().weight.numel()


def answer(
    benchmark: Benchmark, item: ChoiceItem | ShortItem, said: Pick | Words
) -> dict[str, Any]:
    """An item's prompt, log-likelihoods of its options or text, and the harness's metrics."""
    record = choice_record if isinstance(item, ChoiceItem) else short_record
    marked = record(benchmark, item, said)
    first, *others = benchmark.metrics
    marks = {first: marked["right"]} | {metric: marked[metric] for metric in others}
    return {
        "prompt": item.prompt,
        "said": said.log_likelihoods if isinstance(said, Pick) else said.texts[0],
        "marks": {METRICS.get(metric, metric): mark for metric, mark in marks.items()},
    }


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    engine = Noted(job["model"], job["dtype"])
    benchmark = find_benchmark(job["benchmark"])
    benchmark = replace(benchmark, max_tokens=job["max_tokens"])
    items = benchmark.items(Path(job["data"]), job["limit"])
    ask = engine.choose if benchmark.kind == "choice" else engine.answer_shortly
    begun = time.perf_counter()
    found = dict(ask(benchmark, items))
    seconds = time.perf_counter() - begun
    peak = peak_mib()
    answers = [answer(benchmark, item, found[index]) for index, item in enumerate(items)]
    result = {"answers": answers, "seconds": seconds, "peak_mib": peak, "work": engine.work()}
    (folder / "found.json").write_text(json.dumps(result))


if __name__ == "__main__":
    set_quiet(True)
    main(Path(sys.argv[1]))
