"""What a smaller file costs is measured in pairs, and once."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from understudy.export.quality import LOSSES, SCORES, Scales, measure, perplexity, ratio
from understudy.files import write_json, write_jsonl

BEFORE = [(10.0 + place, 5 + place % 3) for place in range(40)]


def model(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def scales(weighed: Counter[str], *outputs: str, **more: dict[str, str]) -> Scales:
    """A file's losses are the original's, times the number that its content begins with."""

    def weigh(model: Path, out: Path) -> None:
        weighed[model.name] += 1
        times = float(model.read_text().split()[0])
        rows = [{"nats": nats * times, "tokens": tokens} for nats, tokens in BEFORE]
        write_jsonl(out / LOSSES, rows)
        score = {"metric": "accuracy", "score": 0.5, "low": 0.4, "high": 0.6, "n": 100}
        content = {"benchmarks": {"mmlu": score}, "not_measured": {"humaneval": "no sandbox"}}
        write_json(out / SCORES, content)

    def compare(before: Path, after: Path) -> dict[str, Any]:
        return {"benchmarks": {"mmlu": {"difference": -0.02, "low": -0.05, "high": 0.01}}}

    return Scales(weigh, compare, {"items": 100}, outputs, **more)


def test_perplexity_is_of_all_tokens_together() -> None:
    assert perplexity([(2.0, 1), (4.0, 5)]) == pytest.approx(math.exp(1.0))


def test_the_ratio_is_of_the_perplexities_and_has_an_interval() -> None:
    after = [(nats * 1.01, tokens) for nats, tokens in BEFORE]
    found = ratio(BEFORE, after, seed=0)
    assert found["value"] == pytest.approx(perplexity(after) / perplexity(BEFORE), abs=1e-6)
    assert found["low"] < found["value"] < found["high"]
    assert found == ratio(BEFORE, after, seed=0)
    assert ratio(BEFORE, BEFORE, seed=0) == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_a_loss_that_dialogues_share_is_certain_and_one_that_they_do_not_is_not() -> None:
    alike = [(nats + 0.1 * tokens, tokens) for nats, tokens in BEFORE]
    uneven = [(nats + (4.0 if place < 6 else 0.0), tokens)
              for place, (nats, tokens) in enumerate(BEFORE)]  # fmt: skip
    widths = [ratio(BEFORE, after, 0) for after in (alike, uneven)]
    assert widths[0]["low"] == widths[0]["high"] == pytest.approx(math.exp(0.1), abs=1e-6)
    assert widths[1]["high"] - widths[1]["low"] > 0.05


def test_everything_is_measured_once_and_told_together(tmp_path: Path) -> None:
    weighed: Counter[str] = Counter()
    original, small = model(tmp_path / "model", "1.0"), model(tmp_path / "q4.gguf", "1.1")
    both = scales(weighed, LOSSES, SCORES, not_measured={"truth": "no truth"})
    found = measure(original, {"q4_0": small}, both, tmp_path / "quality", 0)
    assert found["not_measured"] == {"truth": "no truth", "humaneval": "no sandbox"}
    assert (found["dialogues"], found["tokens"]) == (40, sum(tokens for _, tokens in BEFORE))
    before, after = found["original"], found["files"]["q4_0"]
    assert after["ratio"]["value"] == pytest.approx(after["perplexity"] / before["perplexity"])
    assert before["benchmarks"]["mmlu"]["score"] == 0.5
    assert after["benchmarks"]["mmlu"]["difference"] == -0.02
    assert measure(original, {"q4_0": small}, both, tmp_path / "quality", 0) == found
    assert weighed == {"model": 1, "q4.gguf": 1}


def test_another_file_or_other_questions_are_measured_again(tmp_path: Path) -> None:
    weighed: Counter[str] = Counter()
    original, small = model(tmp_path / "model", "1.0"), model(tmp_path / "q4.gguf", "1.1")
    files, out = {"q4_0": small}, tmp_path / "quality"
    measure(original, files, scales(weighed, LOSSES), out, 0)
    model(small, "1.2")
    found = measure(original, files, scales(weighed, LOSSES), out, 0)
    assert weighed == {"model": 1, "q4.gguf": 2}
    assert found["files"]["q4_0"].keys() == {"perplexity", "benchmarks", "ratio"}
    other = Scales(scales(weighed).weigh, scales(weighed).compare, {"items": 50}, (LOSSES,))
    measure(original, files, other, out, 0)
    assert weighed == {"model": 2, "q4.gguf": 3}


def test_with_nothing_to_measure_it_says_so(tmp_path: Path) -> None:
    nothing = scales(Counter(), not_measured={"perplexity": "no dialogues"})
    found = measure(tmp_path, {"q4_0": tmp_path}, nothing, tmp_path / "quality", 0)
    assert found == {"not_measured": {"perplexity": "no dialogues"}, "files": {}}
    assert not (tmp_path / "quality").exists()
