"""Items that an imitation set touches: left out, or scored and counted apart."""

from pathlib import Path
from typing import Any

import pytest

from evaluate.canned import Canned
from understudy.errors import UserError
from understudy.evaluate.contamination import apart, read_touched
from understudy.evaluate.stage import evaluate
from understudy.files import read_json, read_jsonl, write_jsonl
from understudy.recipe import EvaluateSettings

BOTH = EvaluateSettings(benchmarks=["mmlu", "nq"])
PAIRS = [
    ("mmlu", "abstract_algebra/1"),  # right
    ("mmlu", "abstract_algebra/1"),
    ("mmlu", "world_religions/2"),  # wrong
    ("nq", "nq/999"),
    ("other", "world_religions/1"),
]


def named(path: Path, *pairs: tuple[str, str]) -> str:
    """A contamination.jsonl that names these items."""
    write_jsonl(path, [{"benchmark": b, "item": i, "rule": "verbatim"} for b, i in pairs])
    return str(path)


def scores(settings: EvaluateSettings, data: Path, out: Path, **more: Any) -> dict[str, Any]:
    evaluate(Canned(), settings, data, out, 0, **more)
    found: dict[str, Any] = read_json(out / "scores.json")["benchmarks"]
    return found


def test_touched_items_are_left_out(data: Path, tmp_path: Path) -> None:
    before = scores(BOTH, data, tmp_path / "out")
    assert "excluded" not in before["mmlu"]
    path = named(tmp_path / "contamination.jsonl", *PAIRS)
    settings = BOTH.model_copy(update={"exclude": path})
    after = scores(settings, data, tmp_path / "out")
    assert (after["mmlu"]["n"], after["mmlu"]["excluded"]) == (before["mmlu"]["n"] - 2, 2)
    assert after["mmlu"]["groups"]["abstract_algebra"]["n"] == 3
    assert (after["nq"]["n"], after["nq"]["excluded"]) == (before["nq"]["n"], 0)
    ids = [row["id"] for _, row in read_jsonl(tmp_path / "out" / "items" / "mmlu.jsonl")]
    assert len(ids) == 4
    assert not {"abstract_algebra/1", "world_religions/2"} & set(ids)
    exported = read_json(tmp_path / "out" / "lm_eval.json")["n-samples"]["nq_open"]
    assert exported == {"original": 8, "effective": 8}


def test_touched_items_are_counted_and_scored_apart(data: Path, tmp_path: Path) -> None:
    path = named(tmp_path / "contamination.jsonl", *PAIRS)
    found = scores(BOTH.model_copy(update={"contamination": path}), data, tmp_path / "out")
    mmlu = found["mmlu"]["contamination"]
    assert (found["mmlu"]["n"], found["mmlu"]["score"]) == (6, pytest.approx(2 / 6, abs=1e-6))
    assert (mmlu["touched"], mmlu["share"]) == (2, pytest.approx(2 / 6, abs=1e-6))
    without = mmlu["without"]
    assert (without["n"], without["score"]) == (4, 0.25)  # one of the two that were right is left
    assert without["low"] < 0.25 < without["high"]
    assert found["nq"]["contamination"] == {"touched": 0, "share": 0.0}


def test_only_what_was_looked_for_is_told_of(data: Path, tmp_path: Path) -> None:
    touched = {"nq": ["nq/3", "nq/4"], "other": ["nq/5"]}
    found = scores(BOTH, data, tmp_path / "out", touched=touched)
    assert "contamination" not in found["mmlu"]
    assert found["nq"]["contamination"]["touched"] == 2
    # A file that the settings name goes before that.
    path = named(tmp_path / "contamination.jsonl", *PAIRS)
    settings = BOTH.model_copy(update={"contamination": path})
    found = scores(settings, data, tmp_path / "out", touched=touched)
    assert [found[name]["contamination"]["touched"] for name in ("mmlu", "nq")] == [2, 0]


def test_where_every_item_is_touched_there_is_no_score_without() -> None:
    assert apart([{"id": "a"}, {"id": "b"}], ["a", "b", "c"], lambda _: pytest.fail("none")) == {
        "touched": 2,
        "share": 1.0,
    }


@pytest.mark.parametrize("option", ["exclude", "contamination"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "contamination.jsonl: no such file"),
        ("[1]\n", "line 1: no texts under benchmark and item"),
        ('{"benchmark": "nq", "item": "nq/1"}\n{"benchmark": "nq", "item": 1}\n', "line 2: no"),
        ("{", "line 1: broken JSON"),
    ],
)
def test_mistakes_in_what_is_touched(
    data: Path, tmp_path: Path, option: str, content: str | None, message: str
) -> None:
    path = tmp_path / "contamination.jsonl"
    if content:
        path.write_text(content)
    engine = Canned()
    with pytest.raises(UserError, match=message):
        evaluate(engine, BOTH.model_copy(update={option: str(path)}), data, tmp_path, 0)
    assert engine.asked == []


def test_something_must_be_left(data: Path, tmp_path: Path) -> None:
    path = named(tmp_path / "contamination.jsonl", *(("nq", f"nq/{n}") for n in range(1, 9)))
    assert len(read_touched(Path(path))["nq"]) == 8
    engine = Canned()
    with pytest.raises(UserError, match="names all 8 items of nq; leave nq out"):
        evaluate(engine, BOTH.model_copy(update={"exclude": path}), data, tmp_path, 0)
    assert engine.asked == []
