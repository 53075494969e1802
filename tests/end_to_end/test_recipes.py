"""The seed systems' recipes, as they ship, at desk size."""

from pathlib import Path

import pytest

from end_to_end.commands import Understudy
from understudy.dialogue import read_dialogues
from understudy.files import read_json, read_jsonl
from understudy.recipe_file import load_recipe
from understudy.run import run

RECIPES = Path(__file__).parents[2] / "recipes"
SEED_SYSTEMS = sorted(
    path.stem for path in RECIPES.glob("*.yaml") if "\ndesk:\n" in path.read_text(encoding="utf-8")
)
TINY = [
    "base=world:tiny",
    "world.text_tokens=20000",
    "world.people=120",
    "world.records=150",
    "answers.n=20",
    "answers.max_tokens=48",
    "evaluate.limit=24",
    "evaluate.max_tokens=32",
]


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


def test_every_seed_system_is_there() -> None:
    assert len(SEED_SYSTEMS) == 8
    for name in SEED_SYSTEMS:
        assert load_recipe(RECIPES / f"{name}.yaml").name == name
        assert load_recipe(RECIPES / f"{name}.yaml", desk=True).name == f"{name}-desk"


@pytest.mark.slow
@pytest.mark.parametrize("name", SEED_SYSTEMS)
def test_it_ends_with_its_own_evaluation_and_the_targeted_one(
    name: str, tmp_path: Path, here: Understudy
) -> None:
    changes = [*TINY, *([] if name == "gpt4all" else ["train.epochs=1"])]
    recipe = load_recipe(RECIPES / f"{name}.yaml", changes, desk=True)
    changes += ["collect.n=120"] if recipe.collect else []
    sets = [word for change in changes for word in ("--set", change)]
    here("run", RECIPES / f"{name}.yaml", "--desk", *sets, "--out", tmp_path / "run")
    report = read_json(tmp_path / "run" / "report.json")
    for who in ("base", "student", "teacher"):
        measured = report["models"][who]["benchmarks"]
        assert {"mmlu", "nq"} <= measured.keys()
    assert report["style_gap_closed"]
    judged = {(one["rater"], one["protocol"]) for one in report["preference"]["comparisons"]}
    assert judged == {(judge.model, judge.protocol) for judge in recipe.judges}
    if name == "gpt4all":
        assert report["perplexity"]["truth"]["change"]
    if name == "vicuna":
        assert any(one["share_of_total"] for one in report["preference"]["comparisons"])
