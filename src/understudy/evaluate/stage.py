"""The evaluate stage: benchmarks put to one model, scores.json and a record an item out."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from understudy import __version__
from understudy.errors import UserError
from understudy.evaluate.benchmarks import Benchmark, find_benchmark
from understudy.evaluate.engines import Engine
from understudy.evaluate.sandbox import sandbox_kind
from understudy.evaluate.score import measure
from understudy.files import digest, read_json, read_jsonl, write_json, write_jsonl
from understudy.progress import say
from understudy.recipe import EvaluateSettings
from understudy.teacher.client import Cost, total_cost

NO_SANDBOX = (
    "no sandbox for the programs: neither bubblewrap nor util-linux's unshare works here; "
    "install bubblewrap or allow user namespaces"
)


def evaluate(
    engine: Engine, settings: EvaluateSettings, data: Path | None, out: Path, seed: int
) -> dict[str, Any]:
    """Put the benchmarks of `settings` to `engine`; writes `out/scores.json` and `out/items/`.

    Each benchmark is written when it is finished (`items/NAME.jsonl`, then `parts/NAME.json`).
    Killed and called again, the next one goes on; what was finished for the same model and items
    stays as it is.

    Args:
        engine: the model.
        settings: the recipe's.
        data: folder of published files; None takes the hub's copies.
        out: folder.
        seed: draws few-shot examples where none are published.

    Returns:
        Facts for the manifest: scores, and the cost where the engine has one.

    Raises:
        UserError: a benchmark is unknown, its files or the file of what to leave out are missing or
            broken, nothing is left of a benchmark, or the teacher failed.
    """
    if data is not None and not data.is_dir():
        raise UserError(f"{data}: no such folder; name one with the published files")
    if not settings.benchmarks:
        raise UserError("evaluate.benchmarks: is empty; name one at least")
    chosen = [find_benchmark(name) for name in dict.fromkeys(settings.benchmarks)]
    items = {b.name: b.items(data, settings.limit, seed) for b in chosen}
    excluded = _leave_out(items, Path(settings.exclude)) if settings.exclude else {}
    parts, not_measured = {}, {}
    for benchmark in chosen:
        if benchmark.kind == "code" and sandbox_kind() is None:
            not_measured[benchmark.name] = NO_SANDBOX
            say(f"  {benchmark.name}: not measured, {NO_SANDBOX}")
            continue
        parts[benchmark.name] = _part(
            engine, benchmark, items[benchmark.name], settings.max_tokens, out
        )
    scores = {
        "model": engine.name,
        "prompting": engine.prompting,
        "benchmarks": {
            name: part["score"] | ({"excluded": excluded[name]} if excluded else {})
            for name, part in parts.items()
        },
        "not_measured": not_measured,
    }
    write_json(out / "scores.json", scores)
    measured = {name: part["score"]["score"] for name, part in parts.items()}
    facts = {"scores": measured, "not_measured": not_measured}
    if engine.spent is None:
        return facts
    return facts | {"cost": total_cost(part["cost"] for part in parts.values())}


def _leave_out(items: dict[str, list[Any]], path: Path) -> dict[str, int]:
    """Take the items that `path` names out of `items`; returns how many, for each benchmark."""
    named: set[tuple[str, str]] = set()
    for number, row in read_jsonl(path):
        pair = (row.get("benchmark"), row.get("item")) if isinstance(row, dict) else (None, None)
        if not all(isinstance(name, str) for name in pair):
            raise UserError(
                f"{path}, line {number}: no texts under benchmark and item; name a "
                "contamination.jsonl that curate wrote"
            )
        named.add((str(pair[0]), str(pair[1])))
    counts = {}
    for name, there in items.items():
        items[name] = [item for item in there if (name, item.id) not in named]
        counts[name] = len(there) - len(items[name])
        if there and not items[name]:
            raise UserError(
                f"{path}: names all {len(there)} items of {name}; leave {name} out of the "
                "benchmarks, or raise the limit"
            )
    return counts


def _part(
    engine: Engine, benchmark: Benchmark, items: list[Any], max_tokens: int, out: Path
) -> dict[str, Any]:
    """One benchmark's score and cost: as it was finished before, or measured now."""
    path = out / "parts" / f"{benchmark.name}.json"
    asked = [engine.identity, engine.prompting, __version__, max_tokens, *map(asdict, items)]
    key = digest([benchmark.name, *asked])
    records_path = out / "items" / f"{benchmark.name}.jsonl"
    if path.exists() and records_path.exists() and read_json(path).get("key") == key:
        return read_json(path)
    if engine.spent is not None:
        engine.spent = Cost()
    records, score = measure(benchmark, items, engine, max_tokens)
    write_jsonl(records_path, records)
    cost = engine.spent.as_dict() if engine.spent is not None else None
    part = {"key": key, "score": score, "cost": cost}
    write_json(path, part)
    say(f"  {benchmark.name}: {score['score']:.3f} ({score['low']:.3f}–{score['high']:.3f})")
    if score.get("filtered"):
        say(f"  {benchmark.name}: {score['filtered']} withheld by a filter, counted as wrong")
    return part
