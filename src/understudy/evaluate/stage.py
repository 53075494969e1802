"""The evaluate stage: benchmarks put to one model, scores.json and a record an item out."""

from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from understudy import __version__
from understudy.errors import UserError
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.benchmarks.kinds import Benchmark
from understudy.evaluate.contamination import Touched, apart, leave_out, read_touched
from understudy.evaluate.engines import UNREAD, Engine, Sampling
from understudy.evaluate.harness import harness_results
from understudy.evaluate.journal import Journal
from understudy.evaluate.measure import measure, score
from understudy.evaluate.sandbox import missing, sandbox_kind
from understudy.evaluate.toxicity import scorer_of
from understudy.files import digest, write_json, write_jsonl
from understudy.progress import say
from understudy.recipe import EvaluateSettings
from understudy.teacher.client import Cost, total_cost


def evaluate(
    engine: Engine,
    settings: EvaluateSettings,
    data: Path | None,
    out: Path,
    seed: int,
    ledger: str | Path | None = None,
    touched: Touched | None = None,
) -> dict[str, Any]:
    """Put the benchmarks of `settings` to `engine`.

    Writes `out/scores.json`, `out/items/NAME.jsonl` (a record an item) and `out/lm_eval.json`
    (lm-evaluation-harness's layout). What is answered is kept at once in `out/parts/NAME.jsonl`;
    killed and called again, the next item goes on.

    Args:
        engine: the model.
        settings: the recipe's.
        data: folder of published files; None takes the hub's copies.
        out: folder.
        seed: of sampled programs and continuations.
        ledger: where what a scorer's service says is kept; None: `out/ledger.sqlite`.
        touched: items that the imitation set touches, by each benchmark that was looked for in it,
            where `settings` name no file of them.

    Returns:
        Facts for the manifest: scores, and the cost where the engine has one.

    Raises:
        UserError: a benchmark is unknown or two have one name, its files or a file of touched items
            are missing or broken, nothing is left of a benchmark, or the teacher or the scorer
            failed.
    """
    if data is not None and not data.is_dir():
        raise UserError(f"{data}: no such folder; name one with the published files")
    if not settings.benchmarks:
        raise UserError("evaluate.benchmarks: is empty; name one at least")
    chosen = [find_benchmark(name) for name in dict.fromkeys(settings.benchmarks)]
    if twice := [name for name, n in Counter(b.name for b in chosen).items() if n > 1]:
        raise UserError(f"evaluate.benchmarks: two are called {twice[0]}; rename one")
    items = {benchmark.name: benchmark.items(data, settings.limit) for benchmark in chosen}
    excluded = {}
    if settings.exclude:
        path = Path(settings.exclude)
        excluded = leave_out(items, read_touched(path), path)
    if settings.contamination:
        found = read_touched(Path(settings.contamination))
        touched = {name: found.get(name, ()) for name in items}
    toxic = any(benchmark.kind == "toxicity" for benchmark in chosen)
    scorer = scorer_of(settings.toxicity, ledger, out) if toxic else None
    scores: dict[str, Any] = {}
    not_measured, costs = {}, []
    for benchmark in chosen:
        name = benchmark.name
        if why := _obstacle(benchmark, engine):
            not_measured[name] = why
            say(f"  {name}: not measured, {why}")
            continue
        if engine.spent is not None:
            engine.spent = Cost()
        how = sampling_of(benchmark, settings, seed)
        asked = [engine.identity, engine.prompting, __version__, benchmark.stop, asdict(how)]
        with Journal(out / "parts" / f"{name}.jsonl", digest(asked)) as journal:
            records = measure(benchmark, items[name], engine, how, journal, scorer)
        write_jsonl(out / "items" / f"{name}.jsonl", records)
        to_score = partial(score, benchmark, engine=engine, scorer=scorer)
        scores[name] = to_score(records)
        if excluded:
            scores[name]["excluded"] = excluded[name]
        if touched and name in touched:
            scores[name]["contamination"] = apart(records, touched[name], to_score)
        if engine.spent is not None:
            costs.append(engine.spent.as_dict())
        _say(name, scores[name])
    content = {
        "model": engine.name,
        "prompting": engine.prompting,
        "benchmarks": scores,
        "not_measured": not_measured,
    }
    write_json(out / "scores.json", content)
    write_json(out / "lm_eval.json", harness_results(content, out, settings.limit))
    measured = {name: score["score"] for name, score in scores.items()}
    facts = {"scores": measured, "not_measured": not_measured}
    return facts if engine.spent is None else facts | {"cost": total_cost(costs)}


def _obstacle(benchmark: Benchmark, engine: Engine) -> str | None:
    """Why a benchmark cannot be put to an engine here, if it cannot."""
    if benchmark.kind == "code" and sandbox_kind() is None:
        return missing()
    return UNREAD if benchmark.kind == "perplexity" and engine.spent is not None else None


def sampling_of(benchmark: Benchmark, settings: EvaluateSettings, seed: int) -> Sampling:
    """How what a benchmark samples is drawn; others take the likeliest token."""
    if benchmark.kind == "toxicity":
        toxic = settings.toxicity
        return Sampling(toxic.samples, toxic.temperature, toxic.top_p, toxic.max_tokens, seed)
    if benchmark.kind == "code":
        most = settings.max_tokens or benchmark.max_tokens
        return Sampling(settings.samples, settings.temperature, 1.0, most, seed)
    return Sampling(max_tokens=benchmark.max_tokens)


def _say(name: str, score: dict[str, Any]) -> None:
    say(f"  {name}: {score['score']:.3f} ({score['low']:.3f}–{score['high']:.3f})")
    if score.get("filtered"):
        counted = "" if score.get("lower_is_better") else ", counted as wrong"
        say(f"  {name}: {score['filtered']} withheld by a filter{counted}")
