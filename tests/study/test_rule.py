"""The rule is chosen by held-out loss alone, a kind at a time."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from understudy.files import read_json, write_json
from understudy.manifest import MANIFEST
from understudy.study.job import Job
from understudy.study.rule import FILE, choose_rule
from understudy.study.settings import StudySettings

CANDIDATES = [{"learning_rate": 1e-3}, {"learning_rate": 1e-4, "epochs": 3}, {}]
LOSSES = {"broad": [2.5, 2.25, 2.75], "local": [0.5, 1.0, 0.5]}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A study with its pilots; the better a candidate's loss, the worse is its score."""
    content = {
        "run": {"teacher": {}, "evaluate": {"benchmarks": ["nq"]}},
        "bases": [{"base": f"world:{size}"} for size in ("tiny", "mini", "small", "medium")],
        "kinds": {"broad": {}, "local": {"task": ["nq"], "amounts": [30, 60, 90]}},
        "amounts": [100, 1000],
        "seeds": [3, 1],
        "rule": {"candidates": CANDIDATES},
    }
    job = Job(StudySettings.model_validate(content), tmp_path, ExitStack())
    for kind, losses in LOSSES.items():
        for number, loss in enumerate(losses):
            folder = tmp_path / "pilots" / kind / f"candidate-{number}"
            trained = {"steps": 4, "tokens": 300 + number, "heldout_loss": loss, "time": {}}
            write_json(folder / "train" / MANIFEST, {"facts": trained})
            write_json(folder / "evaluate" / MANIFEST, {"facts": {"scores": {"nq": loss / 10}}})
    return job


def test_each_kind_has_the_candidate_of_least_loss_whatever_it_scores(job: Job) -> None:
    rule = choose_rule(job)
    assert rule["chosen"] == {"broad": CANDIDATES[1], "local": CANDIDATES[0]}  # of equals the first


def test_it_tells_what_it_was_chosen_from(job: Job) -> None:
    rule = choose_rule(job)
    assert read_json(job.out / FILE) == rule
    assert (rule["base"], rule["seed"]) == ("mini", 3)  # the middle one, and the first
    assert rule["amounts"] == {"broad": 100, "local": 60}
    assert len(rule["pilots"]) == 6
    assert rule["pilots"][4] == {
        "kind": "local",
        "candidate": CANDIDATES[1],
        "steps": 4,
        "tokens": 301,
        "heldout_loss": 1.0,
        "scores": {"nq": 0.1},
    }
