"""What a student's name means."""

from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.models import find_student


def model_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def run_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "recipe.yaml").write_text("name: mine")
    return folder


def test_a_run_and_a_training_hold_their_student(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    student = model_in(run / "train" / "model")
    assert find_student(str(run)) == find_student(str(run / "train")) == str(student)


@pytest.mark.parametrize("file", ["config.json", "adapter_config.json"])
def test_a_model_directory_is_itself_whatever_lies_in_it(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("{}")
    model_in(tmp_path / "model")
    assert find_student(str(tmp_path)) == str(tmp_path)


def test_a_hub_name_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_student("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"


def test_a_stopped_training_says_how_to_go_on(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    (run / "train" / "checkpoint").mkdir(parents=True)
    for name in (run, run / "train"):
        with pytest.raises(UserError, match=f"understudy export {run / 'train'} --out MODEL"):
            find_student(str(name))


def test_a_study_s_student_lies_without_a_recipe(tmp_path: Path) -> None:
    student = model_in(tmp_path / "cell" / "train" / "model")
    assert find_student(str(tmp_path / "cell")) == str(student)


def test_a_run_before_its_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no student yet"):
        find_student(str(run_in(tmp_path / "run")))
