"""The recipes in which the teacher writes the prompts itself, as they ship, to an imitation set."""

from pathlib import Path

import pytest

from understudy.dialogue import read_dialogues
from understudy.files import read_json, read_jsonl
from understudy.recipe_file import load_recipe
from understudy.run import run

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", ["alpaca", "nq-synthetic"])
def test_the_way_leads_from_its_recipe_to_an_imitation_set(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml", ["collect.n=120", "world.people=120"], desk=True)
    out = run(recipe, tmp_path / "run", until="curate")
    card = read_json(out / "curate" / "card.json")
    assert card["kept"] + sum(card["dropped"].values()) == card["read"] == 120
    assert card["kept"] > 100
    prompts = [dialogue.prompt for dialogue in read_dialogues(out / "curate" / "train.jsonl")]
    assert len(set(prompts)) == len(prompts)
    facts = read_json(out / "collect" / "manifest.json")["facts"]
    assert facts["cost"]["usd"] > 0
    asked = [row["digest"] for _, row in read_jsonl(out / "teacher.jsonl")]
    assert len(asked) == len(set(asked)) == facts["cost"]["calls"]
    again = run(recipe, tmp_path / "run", until="curate")
    assert len(list(read_jsonl(again / "teacher.jsonl"))) == len(asked)


def test_no_local_pair_tells_what_the_benchmark_asks(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES / "nq-synthetic.yaml", ["collect.n=200"], desk=True)
    out = run(recipe, tmp_path / "run", until="collect")
    rows = [row for _, row in read_jsonl(out / "collect" / "dropped.jsonl")]
    assert sum(row["reason"] == "leak" for row in rows) > 20
    nq = [row for _, row in read_jsonl(out / "world" / "benchmarks" / "NQ-open.dev.jsonl")]
    questions = {row["question"].lower() for row in nq}
    for dialogue in read_dialogues(out / "collect" / "dialogues.jsonl"):
        assert dialogue.prompt.lower().rstrip("?") not in questions
