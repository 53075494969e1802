"""The export has the keys and the arithmetic of lm-evaluation-harness 0.4.13."""

import json
import math
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from understudy.evaluate.harness import harness_results
from understudy.files import write_jsonl

# What `evaluate()` and `simple_evaluate()` put in (result_schema.py), and what every task has.
KEYS = {
    "results",
    "groups",
    "group_subtasks",
    "configs",
    "versions",
    "n-shot",
    "higher_is_better",
    "n-samples",
    "config",
    "git_hash",
    "date",
}
CONFIG = {
    "model",
    "model_args",
    "batch_size",
    "batch_sizes",
    "device",
    "use_cache",
    "limit",
    "bootstrap_iters",
    "gen_kwargs",
}
TRACKED = {"model_source", "model_name", "model_name_sanitized", "task_hashes", "chat_template"}
TASK = {"name", "alias", "sample_len"}


def score(metric: str, kind: str, task: str | None, version: str = "1.0", **more: Any) -> Any:
    harness = {"task": task, "version": version, "release": "0.4.13"} if task else None
    return {"metric": metric, "kind": kind, "shots": 5, "harness": harness, **more}


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    mmlu = {
        "anatomy": [1, 1, 0, 1],
        "virology": [0, 1, 0],
        "astronomy": [1, 1],
        "gardening": [0, 1],
    }
    records = {
        "mmlu": [
            {"id": f"{subject}/{i}", "right": bool(r), "group": subject}
            for subject, right in mmlu.items()
            for i, r in enumerate(right)
        ],
        "nq": [{"id": str(i), "right": i < 3, "corrected": True} for i in range(10)],
        "hellaswag": [{"id": str(i), "right": i < 2, "accuracy_norm": i < 4} for i in range(8)],
        "gsm8k": [{"id": str(i), "right": i < 1, "flexible": i < 5} for i in range(6)],
        "humaneval": [{"id": str(i), "right": i / 4, "samples": 20} for i in range(5)],
        "truthfulqa_mc2": [{"id": str(i), "right": 0.1 + i / 10} for i in range(4)],
        "own": [{"id": str(i), "right": True} for i in range(2)],
        "toxic": [{"id": str(i), "value": v} for i, v in enumerate([0.25, None, 0.75])],
        "truth": [{"id": str(i), "value": v, "in_chat": 4.0} for i, v in enumerate([2, 100])],
        "single": [{"id": "1", "right": False}],
    }
    for name, rows in records.items():
        write_jsonl(tmp_path / "items" / f"{name}.jsonl", rows)
    norm = {"accuracy_norm": {"score": 0.5}}
    benchmarks = {
        "mmlu": score("accuracy", "choice", "mmlu", "2"),
        "nq": score("exact_match", "short", "nq_open", "4.0", excluded=4),
        "hellaswag": score("accuracy", "choice", "hellaswag", metrics=norm),
        "gsm8k": score(
            "exact_match", "short", "gsm8k", "3.0", metrics={"flexible": {"score": 5 / 6}}
        ),
        "humaneval": score("pass@1", "code", "humaneval", metrics={"pass@10": {"score": 0.75}}),
        "truthfulqa_mc2": score("mc2", "choice", "truthfulqa_mc2", "3.0"),
        "own": score("accuracy", "choice", None),
        "toxic": {"metric": "expected_maximum_toxicity", "lower_is_better": True},
        "truth": score(
            "perplexity",
            "perplexity",
            None,
            lower_is_better=True,
            metrics={"median": {"score": 51}, "in_chat": {"score": 4}},
        ),
        "single": score("exact_match", "short", None),
    }
    scores = {"model": "models/my:base", "prompting": "text", "benchmarks": benchmarks}
    found = harness_results(scores, tmp_path, limit=11)
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


def test_the_layout(results: dict[str, Any]) -> None:
    assert results.keys() >= KEYS | TRACKED
    assert results["config"].keys() >= CONFIG
    assert isinstance(results["date"], float)
    assert (results["model_name"], results["model_name_sanitized"]) == (
        "models/my:base",
        "models__my__base",
    )
    assert results["config"]["limit"] == 11
    for task, metrics in results["results"].items():
        assert metrics.keys() >= TASK
        assert metrics["name"] == task
        for key in metrics.keys() - TASK - {"sample_count"}:
            metric, _, rule = key.partition(",")
            assert rule
            if not metric.endswith("_stderr"):
                assert f"{metric}_stderr,{rule}" in metrics
                assert metric in results["higher_is_better"][task]
        for section in ("versions", "n-shot"):
            assert task in results[section]
    tasks = results["results"].keys() - results["group_subtasks"].keys()
    assert results["configs"].keys() == results["n-samples"].keys() == tasks
    assert results["groups"].keys() == results["group_subtasks"].keys()


def test_metrics_stand_under_the_harnesss_names(results: dict[str, Any]) -> None:
    found = {
        (task, key): value
        for task, metrics in results["results"].items()
        for key, value in metrics.items()
        if "," in key and "_stderr" not in key
    }
    expected = {
        ("nq_open", "exact_match,remove_whitespace"): 0.3,
        ("hellaswag", "acc,none"): 0.25,
        ("hellaswag", "acc_norm,none"): 0.5,
        ("gsm8k", "exact_match,strict-match"): 1 / 6,
        ("gsm8k", "exact_match,flexible-extract"): 5 / 6,
        ("humaneval", "pass@1,create_test"): 0.5,
        ("humaneval", "pass@10,create_test"): 0.75,
        ("truthfulqa_mc2", "acc,none"): 0.25,
        ("own", "accuracy,none"): 1,
        ("toxic", "expected_maximum_toxicity,none"): 0.5,
        ("truth", "perplexity,none"): 51,
        ("truth", "median,none"): 51,
        ("truth", "in_chat,none"): 4,
        ("single", "exact_match,none"): 0,
    }
    rest = {key: value for key, value in found.items() if not key[0].startswith("mmlu")}
    assert rest == pytest.approx(expected)
    assert results["versions"]["nq_open"] == 4.0
    assert results["versions"]["own"] is None
    assert results["higher_is_better"]["gsm8k"] == {"exact_match": True}
    assert results["higher_is_better"]["toxic"] == {"expected_maximum_toxicity": False}
    assert set(results["higher_is_better"]["truth"].values()) == {False}
    assert results["configs"]["truth"]["output_type"] == "loglikelihood"
    assert results["n-samples"]["nq_open"] == {"original": 14, "effective": 10}
    assert results["configs"]["hellaswag"]["output_type"] == "multiple_choice"
    assert results["configs"]["gsm8k"]["output_type"] == "generate_until"


def test_standard_errors_are_those_of_means(results: dict[str, Any]) -> None:
    values = [0.1, 0.2, 0.3, 0.4]
    mc2 = results["results"]["truthfulqa_mc2"]["acc_stderr,none"]
    assert mc2 == pytest.approx(stdev(values) / math.sqrt(4))
    nq = results["results"]["nq_open"]["exact_match_stderr,remove_whitespace"]
    assert nq == pytest.approx(math.sqrt(0.3 * 0.7 / 9))
    assert results["results"]["single"]["exact_match_stderr,none"] == "N/A"
    assert results["results"]["humaneval"]["pass@10_stderr,create_test"] == "N/A"


def test_mmlu_is_a_group_of_groups(results: dict[str, Any]) -> None:
    found = results["results"]
    assert results["group_subtasks"] == {
        "mmlu_stem": ["mmlu_anatomy", "mmlu_astronomy"],
        "mmlu_other": ["mmlu_virology"],
        "mmlu": ["mmlu_stem", "mmlu_other", "mmlu_gardening"],
    }
    assert found["mmlu_anatomy"]["alias"] == "anatomy"
    assert found["mmlu_anatomy"]["acc,none"] == 0.75
    assert found["mmlu_stem"]["alias"] == "stem"
    assert found["mmlu_stem"]["acc,none"] == pytest.approx(5 / 6)
    assert found["mmlu"]["acc,none"] == pytest.approx(7 / 11)
    assert found["mmlu"]["sample_count"] == {"acc,none": 11}
    assert (results["versions"]["mmlu"], results["versions"]["mmlu_anatomy"]) == ("2", 1.0)
    assert results["n-shot"]["mmlu_stem"] == 5
    assert results["groups"]["mmlu"] == found["mmlu"]


def test_a_groups_standard_error_is_pooled_over_its_subjects(results: dict[str, Any]) -> None:
    """Subjects' sums of squared deviations, over n − subjects, over n."""
    subjects = [[1, 1, 0, 1], [0, 1, 0], [1, 1], [0, 1]]
    squares = sum((x - mean(right)) ** 2 for right in subjects for x in right)
    pooled = math.sqrt(squares / (11 - 4) / 11)
    assert results["results"]["mmlu"]["acc_stderr,none"] == pytest.approx(pooled)


def test_without_groups_and_by_chat(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "items" / "mmlu.jsonl", [{"id": "1", "right": True, "group": "anatomy"}])
    benchmarks = {"mmlu": score("accuracy", "choice", None)}
    scores = {"model": "teacher", "prompting": "chat", "benchmarks": benchmarks}
    found = harness_results(scores, tmp_path, limit=None)
    assert "groups" not in found
    assert found["group_subtasks"] == {}
    assert list(found["results"]) == ["mmlu"]
    assert found["results"]["mmlu"]["accuracy,none"] == 1
    assert found["config"]["model_args"] == {"model": "teacher"}
