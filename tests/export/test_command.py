"""`understudy export` on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from train.bases import make_base, make_data, settings
from understudy.cli.export import app
from understudy.errors import UserError
from understudy.models import find_student, load_model
from understudy.progress import console
from understudy.train import loop
from understudy.train.stage import train
from understudy.train.watch import Guard

STOP = 3  # the step at which a training is stopped


@pytest.fixture(autouse=True)
def _loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "quiet", False)


def exported(*arguments: object) -> Result:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, Exception):
        raise done.exception
    return done


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder whose training was stopped after a checkpoint."""
    take = loop.Step.take

    def stopping(self: loop.Step, number: int, guard: Guard) -> dict[str, Any]:
        if number == STOP:
            raise KeyboardInterrupt
        return dict(take(self, number, guard))

    run = tmp_path / "stopped"
    data, base = make_data(tmp_path / "train.jsonl"), make_base(tmp_path, "llama")
    with monkeypatch.context() as patch:
        patch.setattr(loop.Step, "take", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(base, data, None, settings(checkpoint_every_s=1e-9), run / "train", seed=0)
    (run / "recipe.yaml").write_text(f"name: stopped\nbase: {base}\n")
    return run


def test_a_stopped_training_gives_its_last_checkpoint(stopped: Path, tmp_path: Path) -> None:
    for number, name in enumerate([stopped, stopped / "train"]):
        out = tmp_path / f"model-{number}"
        done = exported(name, "--out", out)
        assert done.stdout == f"{out} holds the weights of step {STOP - 1}\n"
        assert load_model(str(out)).config.model_type == "llama"
    for to in ("hub", "gguf"):
        with pytest.raises(UserError, match="training was stopped"):
            exported(stopped, "--to", to, "--out", tmp_path / to)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    with pytest.raises(UserError, match="holds something else than a model"):
        exported(stopped, "--out", tmp_path / "letters")


def test_a_finished_run_gives_its_student(run: Path, tmp_path: Path) -> None:
    for number, name in enumerate([run, run / "train", run / "train" / "model"]):
        out = tmp_path / f"model-{number}"
        assert exported(name, "--out", out).stdout == f"{out} holds the model\n"
        assert find_student(str(out)) == str(out)
        assert not (out / "README.md").exists()


def test_json_is_one_object_and_nothing_else(run: Path, tmp_path: Path) -> None:
    done = exported(run, "--to", "hub", "--out", tmp_path / "hub", "--json", "--quiet")
    card = str(tmp_path / "hub" / "README.md")
    assert json.loads(done.stdout) == {"model": str(tmp_path / "hub"), "card": card}


def test_files_are_told_with_what_they_lost(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--to", "gguf", "--out", out, "--quant", "q8_0", "--quant", "f16", "--name", "mine"]
    first, second, last = exported(run, *options).stdout.splitlines()
    assert first.startswith(f"{out / 'mine-q8_0.gguf'}: ")
    assert ", perplexity × 1." in second or ", perplexity × 0.99" in second
    assert last == f"{out / 'README.md'} is its card, {out / 'Modelfile'} is for Ollama"
    unmeasured = exported(run, *options, "--no-measure").stdout
    assert "perplexity" not in unmeasured


def test_one_file_of_four_bits_is_the_default(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = exported(run, "--to", "gguf", "--out", out, "--no-measure", "--json", "--quiet")
    assert [one["file"] for one in json.loads(done.stdout)["files"]] == ["desk-q4_0.gguf"]
