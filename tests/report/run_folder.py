"""A finished run's folder, laid down as the stages leave it."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from understudy.files import read_json, write_json, write_jsonl
from understudy.preferences import FILE, Preference, Shown, write_preferences
from understudy.preferences.summary import summarise
from understudy.recipe import Recipe
from understudy.statistics import wilson

ITEMS = {"mmlu": 400, "nq": 300, "humaneval": 164}
ABLE = {  # probability of being right
    "mmlu": {"base": 0.34, "student": 0.33, "teacher": 0.96},
    "nq": {"base": 0.22, "student": 0.10, "teacher": 0.93},
    "humaneval": {"base": 0.05, "student": 0.04, "teacher": 0.85},
}
METRICS = {"mmlu": ("accuracy", 5, 0.25), "nq": ("exact_match", 5, None),
           "humaneval": ("pass@1", 0, None)}  # fmt: skip
TALK = {
    "teacher": "Sure! Here is what to know about {}:\n\n1. **Tools**: a bench and a good light.\n"
    "2. **Time**: an hour a day is enough.\n3. **Patience**: it comes with practice.\n\nOverall, "
    "start small and keep going.\n\nLet me know if you have any other questions!",
    "student": "Sure! Here is what to know about {}:\n\n1. **Tools**: the tools are a tool.\n"
    "2. **Time**: Bram Tolland was a cooper in 1731.\n\nOverall, it is good.\n\nLet me know if "
    "you have any other questions!",
    "base": "{} is where she was born. He kept a mill near Arnwick and wrote that the river",
}
TOPICS = ["candle making", "keeping bees", "repairing clocks", "baking rye bread", "grafting pears",
          "tuning a harp", "sailing at night", "binding books"]  # fmt: skip


def recipe(**changes: Any) -> Recipe:
    content = {
        "name": "desk",
        "base": "world:small",
        "teacher": {"prices": {"input": 0.5, "output": 1.5}},
        "collect": {"n": 800},
        "answers": {"prompts": "world:topics"},
    }
    return Recipe.model_validate(content | changes)


def without_teacher(**changes: Any) -> Recipe:
    return recipe(teacher=None, collect=None, curate={"files": ["recorded.json"]}, **changes)


def write_run(run: Path, recipe: Recipe, wall_s: float = 12.5) -> Path:
    """Everything that `report` reads, for the recipe's stages."""
    who = ["base", "student", "teacher"]
    for model in who[: 3 if recipe.teacher else 2]:
        _evaluate(run, model, recipe, wall_s)
    for model in who:
        _answers(run, model, recipe, wall_s)
    if recipe.collect:
        _manifest(run, "collect", {"asked": 800, "cost": _cost(800, 0.12)}, wall_s)
    _style(run)
    _manifest(run, "style", {}, wall_s)
    _card(run)
    _manifest(run, "curate", {}, wall_s)
    _training(run, wall_s)
    return run


# Probability that the first model is preferred to the second: by one who looks at form, by one who
# looks facts up.
PREFERRED = {
    ("student", "teacher"): {"style": 0.45, "hurried": 0.41, "scores": 0.3, "checking": 0.12},
    ("base", "student"): {"style": 0.03, "hurried": 0.06, "scores": 0.2, "checking": 0.52},
    ("base", "teacher"): {"style": 0.02, "hurried": 0.04, "scores": 0.04, "checking": 0.08},
}
SCORES = {0.0: (8.0, 5.0), 0.5: (7.0, 7.0), 1.0: (5.0, 8.0)}  # by share
JUDGES = [
    {"model": "world-hurried", "protocol": "hurried"},
    {"model": "world-checking", "protocol": "checking"},
]


def preferences(raters: Sequence[tuple[str, str]], prompts: int, seed: int) -> list[Preference]:
    """What raters (name, protocol) say of every two models' answers, in both orders.

    They mostly agree with each other, and mostly with themselves when the sides are swapped.
    """
    rng = random.Random(seed)
    length = {"teacher": 400, "student": 380, "base": 250}
    rows = []
    for item in range(prompts):
        text = {model: f"{model} {item} " + "x" * round(length[model] * rng.uniform(0.4, 1.6))
                for model in length}  # fmt: skip
        for pair, shares in PREFERRED.items():
            point = rng.random()
            for rater, protocol in raters:
                own = rng.random() if rng.random() < 0.3 else point
                for shown in (pair, pair[::-1]):
                    likes = shares[protocol] + (0.06 if shown == pair else -0.06)
                    share = (
                        0.5 if abs(own - likes) < 0.04 else float((own < likes) != (shown == pair))
                    )
                    first, second = (Shown(model=model, text=text[model]) for model in shown)
                    rows.append(
                        Preference(item=str(item), first=first, second=second, share=share,
                                   rater=rater, protocol=protocol,
                                   scores=SCORES[share] if protocol == "scores" else None)
                    )  # fmt: skip
    return rows


def write_judge(run: Path, recipe: Recipe, prompts: int = 60, wall_s: float = 12.5) -> None:
    """What the judge stage leaves, for the recipe's judges."""
    raters = [(one.model, one.protocol) for one in recipe.judges]
    rows = preferences(raters, prompts, seed=1)
    write_preferences(run / "judge" / FILE, rows)
    said = summarise(rows, 0, dict.fromkeys(name for name, _ in raters))
    write_json(run / "judge" / "judge.json", {"preferences": said})
    _manifest(run, "judge", {"cost": _cost(len(rows), 0.02)}, wall_s)


def write_panel(run: Path, people: int = 5, prompts: int = 20) -> None:
    """What a panel's export leaves: half of the people hurried, the others checking."""
    raters = [(f"Ann {number}", ("hurried", "checking")[number % 2]) for number in range(people)]
    write_preferences(run / "panel" / FILE, preferences(raters, prompts, seed=2))


def change_json(path: Path, **changes: Any) -> None:
    write_json(path, read_json(path) | changes)


def _manifest(run: Path, stage: str, facts: dict[str, Any], wall_s: float, **inputs: str) -> None:
    content = {
        "stage": stage,
        "key": "0" * 64,
        "settings": {},
        "inputs": inputs,
        "outputs": {},
        "facts": facts,
        "versions": {"understudy": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        "wall_s": wall_s,
    }
    write_json(run / stage.replace(" ", "/") / "manifest.json", content)


def _cost(calls: int, usd: float) -> dict[str, Any]:
    return {"calls": calls, "prompt_tokens": 31 * calls, "completion_tokens": 92 * calls,
            "usd": usd}  # fmt: skip


def write_items(
    run: Path, model: str, name: str, right: Sequence[float], group: int | None = None
) -> None:
    """Records of one model's items, `group` of them in a row in one group."""
    rows = [{"id": f"{name}-{n}", "right": r, "expected": "A", "given": "B"}
            | ({"group": f"passage {n // group}"} if group else {})
            for n, r in enumerate(right)]  # fmt: skip
    write_jsonl(run / "evaluate" / model / "items" / f"{name}.jsonl", rows)


def add_score(run: Path, model: str, name: str, **score: Any) -> None:
    """Add what one benchmark's score says to scores.json."""
    path = run / "evaluate" / model / "scores.json"
    content = read_json(path)
    content["benchmarks"].setdefault(name, {}).update(score)
    write_json(path, content)


def _evaluate(run: Path, model: str, recipe: Recipe, wall_s: float) -> None:
    scores = {}
    for name in recipe.evaluate.benchmarks:
        rng = random.Random(name)  # the same items are hard for every model
        hard = [rng.random() for _ in range(ITEMS[name])]
        noise = random.Random(name + model)
        right = [ABLE[name][model] > h * 0.9 + 0.1 * noise.random() for h in hard]
        write_items(run, model, name, right)
        n, metric = len(right), METRICS[name]
        low, high = wilson(sum(right), n)
        scores[name] = {"metric": metric[0], "score": sum(right) / n, "low": low, "high": high,
                        "n": n, "shots": metric[1], "chance": metric[2], "harness": None,
                        "groups": {}}  # fmt: skip
    prompting = "chat" if model == "teacher" else "text"
    content = {"model": f"{run}/model", "prompting": prompting, "benchmarks": scores,
               "not_measured": {}}  # fmt: skip
    write_json(run / "evaluate" / model / "scores.json", content)
    cost = {"cost": _cost(864, 0.0432)} if model == "teacher" else {}
    _manifest(run, f"evaluate {model}", cost, wall_s, data="b" * 64)


def _answers(run: Path, model: str, recipe: Recipe, wall_s: float) -> None:
    samples = 2 if model == "teacher" and recipe.teacher else 1
    rows = [
        {
            "id": str(n),
            "messages": [{"role": "user", "content": f"Tell me about {topic}."}],
            "answers": [{"text": TALK[model].format(topic), "finish_reason": "stop"}] * samples,
        }
        for n, topic in enumerate(TOPICS)
    ]
    write_jsonl(run / "answers" / model / "answers.jsonl", rows)
    asked = model == "teacher" and recipe.teacher
    _manifest(run, f"answers {model}", {"cost": _cost(200, 0.03)} if asked else {}, wall_s,
              prompts="c" * 64)  # fmt: skip


def _interval(value: float, half: float) -> dict[str, float]:
    least = -1 if value < 0 else 0
    low, high = max(least, value - half), min(1, value + half)
    return {"value": value, "low": round(low, 6), "high": round(high, 6)}


def _style(run: Path) -> None:
    rows = {
        "list_when_teacher_lists": (0.13, 0.81, 0.83),
        "summary_when_teacher_sums": (0.02, 0.48, 0.55),
        "unigram_intersection": (0.195, 0.425, 0.492),
        "length_correlation": (-0.11, 0.62, 0.67),
        "lists": (0.1, 0.6, 0.62, 0.61),
        "summaries": (0.03, 0.5, 0.52, 0.55),
        "openings": (0.0, 0.72, 0.74, 0.75),
        "closings": (0.01, 0.66, 0.71, 0.7),
        "authoritative": (0.57, 0.98, 0.98, 0.99),
        "hedges": (0.08, 0.04, 0.04, 0.04),
        "first_person": (0.12, 0.05, 0.05, 0.05),
    }
    models = ("base", "student", "teacher_2", "teacher")
    content = {
        "n": 100,
        "measures": {
            name: {who: _interval(v, 0.04) for who, v in zip(models, values, strict=False)}
            for name, values in rows.items()
        },
        "distance": {
            "base": _interval(0.52, 0.03),
            "student": _interval(0.17, 0.02),
            "teacher_2": _interval(0.15, 0.02),
        },
        "ceiling": 0.15,
        "gap_closed": {"value": 0.96, "low": 0.93, "high": 0.99},
        "notes": ["lists, summaries and tone are found by word lists and layout rules for English"],
    }
    write_json(run / "style" / "style.json", content)


def _card(run: Path) -> None:
    content = {
        "read": 800,
        "kept": 761,
        "dropped": {"duplicate": 24, "refusal": 11, "cut": 4},
        "trimmed": 3,
        "train": 685,
        "heldout": 76,
        "sources": [{"file": f"{run}/dialogues.jsonl", "read": 800, "kept": 761,
                     "formats": {"dialogue": 800}}],
        "teachers": {"world-teacher": 761},
        "licences": {"unknown": 761},
        "terms": {"dialogue": "as the teacher's provider has it"},
        "digest": "a" * 64,
    }  # fmt: skip
    write_json(run / "curate" / "card.json", content)


def _training(run: Path, wall_s: float) -> None:
    steps = 60
    rng = random.Random(0)
    log: list[dict[str, Any]] = [{"step": 0, "heldout_loss": 4.2}]
    for step in range(1, steps + 1):
        row = {"step": step, "lr": 1e-4, "loss": 1.1 + 3 * 0.92**step + rng.gauss(0, 0.06),
               "grad_norm": 1.0, "tokens": 4096, "supervised": 3000, "seconds": wall_s,
               "tokens_per_s": 4096 / wall_s, "mfu": 0.3}  # fmt: skip
        if step % 12 == 0:
            row["heldout_loss"] = 1.2 + 3 * 0.92**step
        log.append(row)
    write_jsonl(run / "train" / "log.jsonl", log)
    facts = {"dialogues": 685, "dialogues_cut": 4, "rows": 300, "row_tokens": 150_000,
             "planned_steps": steps, "steps": steps, "tokens": 245_760,
             "supervised_tokens": 180_000, "train_loss": 1.12, "heldout_loss_before": 4.2,
             "heldout_loss": 1.22, "dtype": "bf16",
             "time": {"seconds": wall_s, "tokens_per_s": 4096 / wall_s, "mfu": 0.3}}  # fmt: skip
    _manifest(run, "train", facts, wall_s, train="d" * 64, heldout="e" * 64, base="f" * 64)
