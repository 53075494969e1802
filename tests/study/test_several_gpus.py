"""A student of several processes is the one that a single process trains, and ends with its worker.

Nothing here needs a GPU: the processes meet on CPU cores.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from study.made_study import settings as made_settings
from train.bases import make_base, make_data, rows_of, settings
from understudy.errors import UserError
from understudy.files import read_json
from understudy.manifest import MANIFEST
from understudy.recipe import TrainSettings
from understudy.recipe_file import settings_from
from understudy.study import several_gpus
from understudy.study.grid import Cell
from understudy.study.job import Job
from understudy.study.plan import plan_study
from understudy.study.settings import StudySettings, load_study
from understudy.study.several_gpus import as_changes, check_gpus, train_together
from understudy.study.stage import study
from understudy.study.workers import count_workers, share_gpus
from understudy.train.stage import train

LONG: dict[str, Any] = {"epochs": 200, "evaluations": 1}  # 400 steps
LEDGER = "no ledger is read"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and data."""
    folder = tmp_path_factory.mktemp("several")
    make_base(folder, "llama")
    make_data(folder / "train.jsonl")
    make_data(folder / "heldout.jsonl", 5)
    return folder


def call(
    trainer: Callable[..., dict[str, Any]], folder: Path, out: Path, **changes: Any
) -> dict[str, Any]:
    files = (folder / "train.jsonl", folder / "heldout.jsonl")
    base = str(folder / "base-llama")
    return trainer(base, *files, settings(**changes), out, 1, LEDGER)


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


# Trained


@pytest.mark.slow
def test_it_tells_and_leaves_what_one_process_does(folder: Path, tmp_path: Path) -> None:
    one = call(train, folder, tmp_path / "one")
    two = call(partial(train_together, 2), folder, tmp_path / "two")
    assert (one.pop("time")["devices"], two.pop("time")["devices"]) == (1, 2)
    assert one.pop("dtype") == two.pop("dtype")
    assert two == pytest.approx(one, rel=1e-4)
    for mine, theirs in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "two"), strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4)
    assert (tmp_path / "two" / "model" / "model.safetensors").exists()


@pytest.mark.slow
def test_a_mistake_is_the_line_that_one_process_tells(folder: Path, tmp_path: Path) -> None:
    told = []
    for trainer in (train, partial(train_together, 2)):
        with pytest.raises(UserError) as error:
            call(trainer, folder, tmp_path / "out", context=9999)
        told.append(str(error.value))
    assert told[0] == told[1]
    assert "takes 64; lower it" in told[0]


@pytest.mark.slow
def test_asked_to_stop_it_saves_and_can_be_gone_on_with(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"

    def interrupt() -> None:
        wait_for(lambda: log.exists() and log.read_text().count("\n") > 3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        call(partial(train_together, 2), folder, tmp_path, **LONG)
    assert not psutil.Process().children(recursive=True)
    (saved,) = (tmp_path / "checkpoint").glob("step-*")
    stopped_at = int(saved.name.removeprefix("step-"))
    assert 3 <= stopped_at < 400
    before = rows_of(tmp_path)
    assert call(train, folder, tmp_path, **LONG)["steps"] == 400
    assert rows_of(tmp_path)[: stopped_at + 1] == before


@pytest.mark.slow
def test_it_does_not_outlive_a_killed_worker(folder: Path, tmp_path: Path) -> None:
    given = tmp_path / "settings.json"
    given.write_text(settings(**LONG).model_dump_json())
    program = (
        "import sys; from pathlib import Path\n"
        "from understudy.recipe import TrainSettings\n"
        "from understudy.study.several_gpus import train_together\n"
        "base, data, given, out = sys.argv[1:]\n"
        "settings = TrainSettings.model_validate_json(Path(given).read_text())\n"
        "train_together(2, base, Path(data), None, settings, Path(out), 1)\n"
    )
    out = tmp_path / "out"
    words = [str(p) for p in (folder / "base-llama", folder / "train.jsonl", given, out)]
    with subprocess.Popen([sys.executable, "-c", program, *words]) as worker:
        wait_for((out / "log.jsonl").exists)
        started = psutil.Process(worker.pid).children(recursive=True)
        assert len(started) >= 3  # torchrun and its two
        worker.kill()
        _, left = psutil.wait_procs(started, timeout=20)
    assert not left
    assert not (out / "model").exists()


@pytest.mark.slow
def test_a_study_trains_all_its_students_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))
    content = {
        "run": {
            "teacher": {"base_url": "world"},
            "world": {"people": 40, "text_tokens": 20_000},
            "collect": {"n": 30},
            "curate": {"heldout_max": 5},
            "train": {"context": 256, "batch_tokens": 512},
            "evaluate": {"limit": 6, "max_tokens": 16},
            "answers": {"prompts": "world:mixed", "n": 6, "max_tokens": 16},
        },
        "bases": ["world:tiny"],
        "kinds": {"broad": {}},
        "amounts": [500],
        "hardware": {"gpus_per_student": 2},
    }
    out = study(loaded(tmp_path, content), tmp_path / "out")
    for student in ("cells/broad/tiny/500/seed-0", "pilots/broad/candidate-0"):
        facts = read_json(out / student / "train" / MANIFEST)["facts"]
        assert facts["time"]["devices"] == 2
    assert (out / "report.html").exists()


# What went wrong


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        # The first fails, and the others for want of it, be they heard before it or not.
        ("internal error: E: closed by peer\nerror: a [b]: c\nTraceback", UserError, "a [b]: c"),
        ("internal error: E: closed\ntraceback : Signal 9 (SIGKILL) received", UserError, "memory"),
        ("W torchrun\ninternal error: KeyError: 'x'\nthis is", RuntimeError, "KeyError: 'x'"),
        ("Signal 11 (SIGSEGV) received by PID 7", RuntimeError, "Signal 11 (SIGSEGV)"),
    ],
)
def test_it_says_what_was_wrong_first(said: str, kind: type[Exception], words: str) -> None:
    fault = several_gpus._fault(said)
    assert type(fault) is kind
    assert words in str(fault)
    assert "\n" not in str(fault)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"learning_rate": 1e-5, "warmup_steps": 3, "batch_dialogues": 4, "trackers": ["wandb"]},
        {"lora": {"rank": 4, "targets": ["q_proj", "v_proj"], "dropout": 1e-7}, "patience": 2},
        {"distil": {"teacher": "a: b # 'c'", "temperature": 1.5}},
    ],
)
def test_settings_come_through_the_command_line(changes: dict[str, Any]) -> None:
    wanted = TrainSettings.model_validate(changes)
    texts = [text.removeprefix("--set=") for text in as_changes(wanted)]
    assert settings_from(TrainSettings, texts) == wanted


# GPUs


def loaded(folder: Path, content: dict[str, Any], *changes: str) -> StudySettings:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_study(file, list(changes))


def with_gpus(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("gpus", "each", "workers"), [(8, 1, 8), (8, 4, 2), (8, 8, 1), (6, 4, 1), (2, 4, 1)]
)
def test_as_many_workers_as_there_are_gpus_for(
    gpus: int, each: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(gpus, monkeypatch)
    assert count_workers(made_settings(hardware={"gpus_per_student": each})) == workers


def test_without_gpus_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(0, monkeypatch)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)))
    assert count_workers(made_settings(hardware={"gpus_per_student": 2})) == 2
    large = [{"base": "models/large", "parameters": 1e9}]
    assert count_workers(made_settings(bases=large, hardware={"gpus_per_student": 2})) == 1


def test_every_worker_has_its_own_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(4, monkeypatch)
    assert share_gpus(4, 1) == ["0", "1", "2", "3"]
    assert share_gpus(2, 2) == ["0,1", "2,3"]
    assert share_gpus(3, 2) == ["0,1", "2,3", "0,1"], "more workers than there are GPUs for"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,7,5")
    assert share_gpus(2, 2) == ["GPU-a,GPU-b", "7,5"]
    with_gpus(0, monkeypatch)
    assert share_gpus(2, 2) == ["", ""]


def test_fewer_gpus_than_a_student_is_to_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(4, monkeypatch)
    check_gpus(4)
    with pytest.raises(UserError, match="gpus_per_student: 8, but there are 4 GPUs here"):
        check_gpus(8)
    with_gpus(0, monkeypatch)
    check_gpus(8)


def test_only_a_student_of_several_is_trained_elsewhere(tmp_path: Path) -> None:
    def trainer(gpus: int) -> Any:
        wanted = made_settings(hardware={"gpus_per_student": gpus})
        cell = Cell("broad", "tiny", wanted.amounts[0], 0)
        return Job(wanted, tmp_path, ExitStack()).cell_run(cell, {}).trainer

    assert trainer(1) is train
    assert (trainer(3).func, trainer(3).args) == (train_together, (3,))


def test_a_plan_has_students_measured_on_one_of_them(tmp_path: Path) -> None:
    seconds = []
    for gpus in (1, 4):
        hardware = {"flops": 1e9, "gpus_per_student": gpus}
        steps = plan_study(made_settings(hardware=hardware), tmp_path / "out")["steps"]
        seconds.append(
            {
                stage: sum(s["seconds"] for s in steps if s["stage"] == stage and not s["calls"])
                for stage in ("train", "evaluate", "answers", "probe")
            }
        )
    one, four = seconds
    assert four.pop("train") == one.pop("train")
    assert four == pytest.approx({stage: 4 * took for stage, took in one.items()}, rel=1e-3)


# What training would refuse


def load_with(folder: Path, **parts: Any) -> StudySettings:
    content = {
        "run": {"teacher": {}, "collect": {}, "answers": {"prompts": "world:mixed"}},
        "bases": ["world:tiny"],
        "kinds": {"broad": {}},
        "amounts": [1000],
        "rule": {"candidates": [{}, {"learning_rate": 2e-3}]},
    }
    return loaded(folder, content | parts)


ON_POLICY = {"candidates": [{"distil": {"teacher": "t", "on_policy": 0.5}}]}


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            {"bases": ["world:tiny", {"base": "far/away", "parameters": 7e9}]},
            r"mine\.yaml: rule\.candidates\.1: train\.learning_rate: 0\.002 .* 7,000M",
        ),
        (
            {"rule": {"candidates": [{"optimizer": "scaled_adamw", "lora": {}}]}},
            r"rule\.candidates\.0: train\.optimizer: scaled_adamw",
        ),
        (
            {"rule": ON_POLICY, "hardware": {"gpus_per_student": 2}},
            r"rule\.candidates\.0: train\.distil\.on_policy: .* use one process",
        ),
    ],
)
def test_what_training_would_refuse_is_refused_at_once(
    parts: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        load_with(tmp_path, **parts)


@pytest.mark.parametrize("parts", [{}, {"bases": ["unknown/size"]}, {"rule": ON_POLICY}])
def test_what_it_would_not_or_cannot_be_known_to_is_not(
    parts: dict[str, Any], tmp_path: Path
) -> None:
    assert load_with(tmp_path, **parts)


def test_a_base_at_hand_is_counted_for_that(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases = [str(folder / "base-llama")]
    assert load_with(tmp_path, bases=bases)
    monkeypatch.setattr("understudy.train.optimizers.PLAIN_PARAMETERS", 10_000)
    with pytest.raises(UserError, match="would destroy a base"):
        load_with(tmp_path, bases=bases)
