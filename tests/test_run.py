"""What a run hands to the evaluation, and what it does again when that changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from train.tiny_models import build_model, gpt2_like
from understudy.errors import UserError
from understudy.files import read_json
from understudy.recipe import Recipe
from understudy.run import run

LEAKED = "Which river did the lighthouse keepers of the cape cross every spring"
QUESTIONS = [LEAKED, "who is one", "who is two", "who is three"]
OWN = """
name: rivers
kind: short
files: {test: rivers.jsonl}
prompt: "Q: {{question}}\\nA:"
stop: ["\\n"]
max_tokens: 8
"""


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A random base, a set that leaks one of four questions, and a benchmark of one's own."""
    base, data = tmp_path / "base", tmp_path / "data"
    build_model("gpt2").save_pretrained(base)
    gpt2_like().save_pretrained(base)
    data.mkdir()
    write_lines(
        data / "NQ-open.dev.jsonl", [{"question": q, "answer": ["the Orve"]} for q in QUESTIONS]
    )
    write_lines(
        tmp_path / "rivers.jsonl", [{"question": f"River {i}?", "answers": "a"} for i in (1, 2)]
    )
    (tmp_path / "own.yaml").write_text(OWN)
    said = [("Say one.", "One."), ("Say two.", "Two."), (f"{LEAKED}?", "The Orve.")]
    write_lines(tmp_path / "set.jsonl", [{"instruction": i, "output": o} for i, o in said])
    return Recipe.model_validate(
        {
            "name": "own",
            "base": str(base),
            "curate": {"files": [str(tmp_path / "set.jsonl")], "heldout": 0},
            "train": {"context": 32, "epochs": 1, "batch_tokens": 64},
            "evaluate": {"benchmarks": ["nq", str(tmp_path / "own.yaml")], "data": str(data)},
            "answers": {"prompts": str(tmp_path / "set.jsonl")},
        }
    )


def scores(recipe: Recipe, out: Path, **contamination: Any) -> dict[str, Any]:
    """The student's after a run that treats contamination so."""
    curate = recipe.curate.model_copy(
        update={"contamination": recipe.curate.contamination.model_copy(update=contamination)}
    )
    run(recipe.model_copy(update={"curate": curate}), out, until="evaluate")
    found: dict[str, Any] = read_json(out / "evaluate/student/scores.json")["benchmarks"]
    return found


def test_each_result_tells_what_the_imitation_set_touches(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "run"
    nothing = {"touched": 0, "share": 0.0}
    found = scores(recipe, out, action="report")
    note = found["nq"]["contamination"]
    assert (found["nq"]["n"], note["touched"], note["share"]) == (4, 1, 0.25)
    assert note["without"]["n"] == 3
    assert found["rivers"]["contamination"] == nothing

    found = scores(recipe, out, action="drop")
    assert (found["nq"]["n"], found["nq"]["contamination"]) == (4, nothing)
    assert "excluded" not in found["nq"]

    found = scores(recipe, out, action="exclude")
    assert (found["nq"]["n"], found["nq"]["excluded"]) == (3, 1)
    assert (found["rivers"]["n"], found["rivers"]["excluded"]) == (2, 0)
    assert found["nq"]["contamination"] == nothing


def test_what_was_not_looked_for_is_not_told(recipe: Recipe, tmp_path: Path) -> None:
    found = scores(recipe, tmp_path / "run", action="report", benchmarks=["nq"])
    assert found["nq"]["contamination"]["touched"] == 1
    assert "contamination" not in found["rivers"]
    for action in ("exclude", "report", "drop"):
        found = scores(recipe, tmp_path / "run", action=action, benchmarks=[])
        assert not any({"contamination", "excluded"} & set(score) for score in found.values())


def test_a_change_in_ones_own_benchmark_is_seen(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = recipe.curate.contamination.model_copy(update={"benchmarks": ["nq"]})
    curate = recipe.curate.model_copy(update={"contamination": checked})
    apart = recipe.model_copy(update={"curate": curate})

    def stages(wanted: Recipe) -> list[str]:
        capsys.readouterr()
        run(wanted, tmp_path / "run", until="evaluate")
        return [line[2:] for line in capsys.readouterr().err.splitlines() if line.startswith("•")]

    evaluation = ["evaluate base", "evaluate student"]
    assert stages(apart) == ["curate", "train", *evaluation]
    assert stages(apart) == []
    path = tmp_path / "rivers.jsonl"
    path.write_text(path.read_text().replace("River 2", "River 3"))
    assert stages(apart) == evaluation
    (tmp_path / "own.yaml").write_text(OWN.replace("8", "9"))
    assert stages(apart) == evaluation
    assert stages(apart) == []
    # A benchmark that the set is checked against matters to curation, too.
    assert stages(recipe)[0] == "curate"


@pytest.mark.parametrize("part", ["exclude", "contamination"])
def test_files_of_touched_items_are_missed_before_anything_is_done(
    recipe: Recipe, tmp_path: Path, part: str
) -> None:
    evaluate = recipe.evaluate.model_copy(update={part: str(tmp_path / "none.jsonl")})
    with pytest.raises(UserError, match=r"none\.jsonl: no such file"):
        run(recipe.model_copy(update={"evaluate": evaluate}), tmp_path / "run")
    assert not (tmp_path / "run" / "curate").exists()


@pytest.mark.parametrize(
    ("judges", "message"),
    [
        ([{"model": "gpt-4o"}], "gpt-4o: the world has no such model; choose from world-teacher"),
        ([{}, {}], "world-hurried hurried is there twice"),
        ([{"api": "completions"}], "judge world-hurried: judges are asked by chat"),
        (
            [{"base_url": "http://127.0.0.1:9/v1", "api_key_env": "NOT_THERE"}],
            "NOT_THERE is not set",
        ),
    ],
)
def test_mistakes_in_judges_are_found_first(
    recipe: Recipe, tmp_path: Path, judges: list[dict[str, str]], message: str
) -> None:
    judged = Recipe.model_validate(recipe.model_dump() | {"judges": judges})
    with pytest.raises(UserError, match=message):
        run(judged, tmp_path / "run")
    assert not (tmp_path / "run" / "curate").exists()
