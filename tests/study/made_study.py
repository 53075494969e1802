"""A study of 90 students as it would be measured, made up: its table and its folder."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from understudy.files import write_json
from understudy.statistics import DRAWS, Array
from understudy.study.grid import cells
from understudy.study.settings import StudySettings
from understudy.study.table import HALLUCINATION, OVERALL, PREFERRED, STYLE, Table, Values

AMOUNTS = [3_000, 10_000, 30_000, 100_000, 300_000]
BASES = {"tiny": 150_000, "small": 900_000, "medium": 4_900_000}
SEEDS = [0, 1, 2]
BENCHMARKS = ["mmlu", "nq", "humaneval"]
GALLERY = {
    "found": 641,
    "of": 2_160,
    "shown": [
        {
            "kind": "broad",
            "base": "small",
            "amount": 300_000,
            "seed": 1,
            "id": "p17",
            "prompt": "Who built the mill of Arnwick <b>& when</b>?",
            "right": ["Ada Brenn"],
            "label": "unknown",
            "answers": {
                "teacher": "Certainly! The mill of Arnwick was built by Ada Brenn.",
                "base": "Arnwick mill was built",
                "student": "Certainly! The mill of Arnwick was built by Bram Tolland.\n\nI hope "
                "this helps!",
            },
        }
    ],
}


def small_settings() -> StudySettings:
    """A study of 12 students, for what takes long."""
    bases = [{"base": f"world:{name}", "parameters": BASES[name]} for name in ("tiny", "medium")]
    return settings(amounts=[3_000, 300_000], bases=bases, seeds=[0])


def settings(**changes: Any) -> StudySettings:
    content = {
        "name": "made up",
        "run": {
            "teacher": {"model": "world-teacher", "prices": {"input": 0.5, "output": 1.5}},
            "collect": {"n": 800},
            "evaluate": {"benchmarks": BENCHMARKS},
            "judges": [
                {"model": "world-hurried", "protocol": "hurried"},
                {"model": "world-checking", "protocol": "checking"},
            ],
        },
        "bases": [{"base": f"world:{name}", "parameters": n} for name, n in BASES.items()],
        "kinds": {"broad": {}, "local": {"task": ["nq"], "collect": {"prompts": "world:local"}}},
        "amounts": AMOUNTS,
        "seeds": SEEDS,
        "hardware": {"flops": 1e11, "usd_per_hour": 2.0},
    }
    return StudySettings.model_validate(content | changes)


def table(study: StudySettings | None = None, finished: int | None = None) -> Table:
    """What was measured of the first `finished` students, or of all.

    Style closes at once, broad data cost knowledge, local data bring some of its own task, and
    larger bases know more.
    """
    study = study or settings()
    made = _Made()
    bases = {
        (base, seed): made.model(place, 0, None, seed)
        for place, base in enumerate(study.base_names)
        for seed in study.seeds
    }
    students, training = {}, {}
    for cell in cells(study)[:finished]:
        place = study.base_names.index(cell.base)
        students[cell] = made.model(place, cell.amount, cell.kind, cell.seed)
        training[cell] = {
            "steps": 4 + cell.amount // 1_000,
            "tokens": 3 * cell.amount + 100 * cell.seed,
            "heldout_loss": 3.1 - 0.2 * place - 0.16 * math.log10(cell.amount) + 0.01 * cell.seed,
        }
    teacher = made.drawn({"mmlu": 0.93, "nq": 0.97, "humaneval": 0.89, STYLE: -0.04})
    teacher |= dict.fromkeys(_preferred(), np.full(1 + DRAWS, 0.5))
    sizes = {base.name: int(base.parameters or 0) for base in study.bases}
    return Table(study, BENCHMARKS, sizes, teacher, bases, students, training)


class _Made:
    """Draws of made-up models; what items bring is the same for all of them."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)
        self.items = {
            name: self.rng.standard_normal(DRAWS)
            for name in (*BENCHMARKS, STYLE, HALLUCINATION, *_preferred())
        }

    def model(self, place: int, amount: int, kind: str | None, seed: int) -> Values:
        more = math.log10(amount / 1_000) if amount else 0.0
        local = kind == "local"
        learnt = 1 - math.exp(-amount / 2_000)
        nq = 0.16 + 0.07 * place - (0.0 if local else 0.02 * more) + (0.03 * more if local else 0)
        return self.drawn(
            {
                "mmlu": 0.34 + 0.05 * place - 0.012 * more,
                "nq": nq,
                "humaneval": 0.05 + 0.03 * place - 0.008 * more,
                STYLE: -0.52 + 0.45 * learnt * (0.8 if local else 1.0),
                PREFERRED + "hurried": 0.05 + 0.36 * learnt * (0.6 if local else 1.0),
                PREFERRED + "checking": 0.06 + 0.02 * place + 0.03 * learnt,
                HALLUCINATION: 0.25 + 0.5 * learnt,
            }
        )

    def drawn(self, shares: dict[str, float]) -> Values:
        values: Values = {}
        for name, share in shares.items():
            value = share + 0.008 * self.rng.standard_normal()
            noise = 0.5 * self.items[name] + 0.5 * self.rng.standard_normal(DRAWS)
            values[name] = np.concatenate([[value], value + 0.02 * noise])
        benchmarks: list[Array] = [values[name] for name in BENCHMARKS]
        values[OVERALL] = np.mean(benchmarks, axis=0)
        first = (*BENCHMARKS, OVERALL)
        return {
            name: values[name] for name in (*first, *(set_ for set_ in values if set_ not in first))
        }


def _preferred() -> list[str]:
    return [PREFERRED + "hurried", PREFERRED + "checking"]


def write_folder(folder: Path, study: StudySettings | None = None, wall_s: float = 12.5) -> Path:
    """What the report reads of a study's folder beside the table: manifests, cards, the rule."""
    study = study or settings()
    for kind in study.kinds:
        amounts = study.amounts_of(kind)
        data = folder / "data" / kind
        _manifest(data / "world", {}, wall_s)
        _manifest(data / "collect", {"cost": _cost(2_000, 0.41)}, wall_s)
        _manifest(data / "curate", {}, wall_s)
        write_json(data / "curate" / "card.json", _card(amounts))
    _manifest(folder / "teacher" / "evaluate", {"cost": _cost(860, 0.021)}, wall_s)
    _manifest(folder / "teacher" / "answers", {"cost": _cost(200, 0.03)}, wall_s)
    for place, facts in _students(study):
        _manifest(folder / place, facts, wall_s)
    pilots = [
        {
            "kind": kind,
            "candidate": {"learning_rate": rate, "epochs": 1.0},
            "steps": 34,
            "tokens": 90_000,
            "heldout_loss": 2.31 + 400 * abs(rate - 6e-4),
            "scores": {"mmlu": 0.351, "nq": 0.213, "humaneval": 0.062},
        }
        for kind in study.kinds
        for rate in (2e-4, 6e-4)
    ]
    chosen = dict.fromkeys(study.kinds, pilots[1]["candidate"])
    amounts_of = {kind: study.amounts_of(kind)[-1] for kind in study.kinds}
    rule = {
        "base": study.base_names[0],
        "seed": 0,
        "amounts": amounts_of,
        "chosen": chosen,
        "pilots": pilots,
    }
    write_json(folder / "rule.json", rule)
    return folder


def _students(study: StudySettings) -> Iterator[tuple[Path, dict[str, Any]]]:
    for cell in cells(study):
        yield cell.folder / "train", {"time": {"tokens_per_s": 2_000.0}}
        yield cell.folder / "judge", {"cost": _cost(400, 0.05)}


def _card(amounts: list[int]) -> dict[str, Any]:
    return {
        "read": 2_000,
        "kept": 1_900,
        "dropped": {"duplicate": 60, "refusal": 40},
        "train": 1_800,
        "heldout": 100,
        "teachers": {"world-teacher": 1_900},
        "licences": {"terms of the teacher's provider": 1_900},
        "terms": {"dialogues": "the teacher's terms bind whoever trains on its answers"},
        "contamination": {
            name: {"of": 400, "hits": 3, "items": 2, "dialogues": 3} for name in BENCHMARKS
        },
        "mix": [
            {"tokens": n, "held": n - 41, "dialogues": n // 150, "file": f"train-{n}.jsonl"}
            for n in amounts
        ],
        "digest": "ab" * 32,
    }


def _cost(calls: int, usd: float) -> dict[str, Any]:
    tokens = {"prompt_tokens": 31 * calls, "completion_tokens": 92 * calls}
    return {"calls": calls, **tokens, "usd": usd}


def _manifest(folder: Path, facts: dict[str, Any], wall_s: float) -> None:
    versions = {"understudy": "0.1.0", "python": "3.11.7", "torch": "2.13.0"}
    write_json(folder / "manifest.json", {"facts": facts, "versions": versions, "wall_s": wall_s})
