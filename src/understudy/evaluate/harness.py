"""Scores in the layout in which lm-evaluation-harness writes its results_*.json.

Release 0.4.13; its `result_schema.py` names the keys. Scores that follow one of the harness's
tasks stand under the task's name, metric and filter; any others under our names, with the filter
"none" and no version.
"""

import math
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from understudy import __version__
from understudy.evaluate.benchmarks import find_benchmark
from understudy.files import read_jsonl

METRICS = {"accuracy": "acc", "accuracy_norm": "acc_norm", "mc2": "acc", "flexible": "exact_match"}
FILTERS = {
    "nq_open": "remove_whitespace",
    "triviaqa": "remove_whitespace",
    "gsm8k": "strict-match",
    "humaneval": "create_test",
}
OUTPUTS = {"choice": "multiple_choice", "perplexity": "loglikelihood"}  # by kind
SUBJECT = {"version": "1.0"}  # the harness's tasks in its group mmlu
FIRST = ("right", "value")  # under which a record has its first metric, by kind
UNKNOWN = "N/A"  # what the harness writes for a standard error that it does not have
SECTIONS = (
    "results",
    "groups",
    "group_subtasks",
    "configs",
    "versions",
    "n-shot",
    "higher_is_better",
    "n-samples",
)

Score = Mapping[str, Any]
Record = Mapping[str, Any]
Sections = dict[str, dict[str, Any]]


def harness_results(scores: Score, folder: Path, limit: int | None) -> dict[str, Any]:
    """What the harness would write for an evaluation.

    Means and standard errors are computed as it does: the sample standard deviation over √n, pooled
    over the subjects for MMLU and its categories. The original number of samples is that of the
    items, excluded ones included; what a limit left out is not known.

    Args:
        scores: the content of scores.json.
        folder: the one that it lies in, with `items/NAME.jsonl`.
        limit: on items, that was set.
    """
    sections: Sections = {name: {} for name in SECTIONS}
    for name, score in scores["benchmarks"].items():
        records = [record for _, record in read_jsonl(folder / "items" / f"{name}.jsonl")]
        task = score["harness"]["task"] if score.get("harness") else name
        if score.get("harness") and task == "mmlu":
            _add_mmlu(sections, score, records)
        else:
            _add_task(sections, task, score, records)
    if not sections["groups"]:
        del sections["groups"]
    model = str(scores["model"])
    return {
        **sections,
        "config": {
            "model": "understudy",
            "model_args": {"pretrained" if scores["prompting"] == "text" else "model": model},
            "batch_size": None,
            "batch_sizes": [],
            "device": None,
            "use_cache": None,
            "limit": limit,
            "bootstrap_iters": 0,
            "gen_kwargs": None,
        },
        "git_hash": None,
        "date": time.time(),
        "understudy_version": __version__,
        "transformers_version": version("transformers"),
        "task_hashes": {},
        "model_source": "understudy",
        "model_name": model,
        "model_name_sanitized": re.sub(r'["<>:/|\\?*\[\]]+', "__", model),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
    }


def _add_task(
    sections: Sections, task: str, score: Score, records: Sequence[Record], alias: str | None = None
) -> None:
    metrics = _metrics(task, score, records)
    named = _version(score["harness"]["version"]) if score.get("harness") else None
    shots = score.get("shots", 0)
    sections["results"][task] = {
        "name": task,
        "alias": alias or task,
        "sample_len": len(records),
        **metrics,
    }
    sections["configs"][task] = {
        "task": task,
        "output_type": OUTPUTS.get(score.get("kind", ""), "generate_until"),
        "num_fewshot": shots,
        "metadata": {"version": named},
    }
    sections["versions"][task] = named
    sections["n-shot"][task] = shots
    sections["higher_is_better"][task] = {
        key.partition(",")[0]: not score.get("lower_is_better", False)
        for key in metrics
        if "_stderr," not in key
    }
    sections["n-samples"][task] = {
        "original": len(records) + score.get("excluded", 0),
        "effective": len(records),
    }


def _metrics(task: str, score: Score, records: Sequence[Record]) -> dict[str, Any]:
    """Every metric of a task with its standard error, under the harness's keys."""
    found: dict[str, Any] = {}
    for metric, figures in {score["metric"]: score, **score.get("metrics", {})}.items():
        name, rule = metric, "none"
        if score.get("harness"):
            name = METRICS.get(metric, metric)
            rule = "flexible-extract" if metric == "flexible" else FILTERS.get(task, "none")
        ours = FIRST if metric == score["metric"] else (metric,)
        values = [r[key] for r in records for key in ours if r.get(key) is not None]
        n = len(values)
        # What is computed from several values of an item has no value an item.
        found[f"{name},{rule}"] = float(np.mean(values)) if n else figures["score"]
        error = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else UNKNOWN
        found[f"{name}_stderr,{rule}"] = error
    return found


def _add_mmlu(sections: Sections, score: Score, records: Sequence[Record]) -> None:
    """MMLU as the harness has it: a task a subject, in groups by category, in a group."""
    subjects = defaultdict(list)
    for record in records:
        subjects[record["group"]].append(record)
    category_of = dict(find_benchmark("mmlu").categories)
    categories = defaultdict(list)
    outside = []
    for subject, rows in subjects.items():
        task = f"mmlu_{subject}"
        own = {**score, "harness": SUBJECT, "excluded": 0}
        _add_task(sections, task, own, rows, alias=subject)
        if subject in category_of:
            categories[category_of[subject]].append(task)
        else:
            outside.append(task)
    for category, tasks in categories.items():
        _add_group(sections, f"mmlu_{category}", category.replace("_", " "), score, tasks, tasks)
    children = [*(f"mmlu_{category}" for category in categories), *outside]
    tasks = [f"mmlu_{subject}" for subject in subjects]
    _add_group(sections, "mmlu", "mmlu", score, children, tasks)


def _add_group(
    sections: Sections, name: str, alias: str, score: Score, children: list[str], tasks: list[str]
) -> None:
    """A group of `tasks`, all below it; `children` are those directly below, or groups of them."""
    results = [sections["results"][task] for task in tasks]
    sizes = np.array([result["sample_len"] for result in results])
    shares = np.array([result["acc,none"] for result in results])
    errors = [result["acc_stderr,none"] for result in results]
    total = int(sizes.sum())
    pooled: float | str = UNKNOWN
    if UNKNOWN not in errors:
        squares = (sizes - 1) * sizes * np.square(errors)
        pooled = float(np.sqrt(squares.sum() / (total - len(tasks)) / total))
    sections["results"][name] = {
        "alias": alias,
        "name": name,
        "sample_len": total,
        "acc,none": float(shares @ sizes / total),
        "acc_stderr,none": pooled,
        "sample_count": {"acc,none": total},
    }
    sections["groups"][name] = dict(sections["results"][name])
    sections["group_subtasks"][name] = children
    sections["versions"][name] = score["harness"]["version"]
    sections["n-shot"][name] = score["shots"]
    sections["higher_is_better"][name] = {"acc": True}


def _version(text: str) -> float | str:
    """A task's version as the harness has it, a number where it is one."""
    try:
        return float(text)
    except ValueError:
        return text
