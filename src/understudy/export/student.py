"""A student, and what the run that made it left beside it."""

import re
import shutil
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from understudy.dialogue import Dialogue, read_dialogues
from understudy.errors import UserError
from understudy.files import read_json, whole_folder
from understudy.manifest import MANIFEST
from understudy.models import ADAPTER, find_student, is_model, load_model, load_tokenizer, loading
from understudy.progress import progress, say
from understudy.recipe import Recipe
from understudy.recipe_file import load_recipe

MOST = 100  # held-out dialogues that are looked at
# Of a model directory: weights, shape, tokenizer and chat template. What else lies there (a card, a
# trainer's state) is not the model.
KEPT = {".safetensors", ".json", ".jinja", ".model", ".txt"}
_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Student:
    """A model directory with what is known of it; what is not known is empty.

    Attributes:
        name: in file names and titles.
        model: the directory, of a whole model or of LoRA factors.
        run: the folder of its run.
        recipe: the run's.
        training: manifest of the train stage.
        card: of the imitation set (card.json).
        report: content of report.json.
    """

    name: str
    model: Path
    run: Path | None = None
    recipe: Recipe | None = None
    training: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return self.recipe.seed if self.recipe else 0

    def heldout(self, file: Path | None = None) -> list[Dialogue]:
        """Dialogues that it was not trained on: of a file, or else its run's; MOST at most.

        Raises:
            UserError: the file is missing or malformed.
        """
        path = file or (self.run and self.run / "curate" / "heldout.jsonl")
        if path is None or (file is None and not path.exists()):
            return []
        return list(islice(read_dialogues(path), MOST))


def student_at(name: str, called: str | None = None) -> Student:
    """The student that a name means (see `find_student`), fetched where it lies on the hub.

    Args:
        name: of a folder or on the hub.
        called: what it is to be called; None: as its recipe or its folder is.

    Raises:
        UserError: there is none, or its run's files are malformed.
    """
    found = find_student(name)
    model = Path(found) if Path(found).is_dir() else _fetched(found)
    if not is_model(model):
        raise UserError(f"{name}: holds no model; name a run, a training or a model directory")
    run = _run_of(model)
    recipe = load_recipe(run / "recipe.yaml") if run else None
    own = called or (recipe.name if recipe else Path(name).absolute().name)
    files = {"training": f"train/{MANIFEST}", "card": "curate/card.json", "report": "report.json"}
    facts = {part: _facts(run / file) for part, file in files.items()} if run else {}
    return Student(_NAME.sub("-", own).strip(".-") or "student", model, run, recipe, **facts)


def write_model(model: Path, out: Path) -> None:
    """Write a model as a plain directory of safetensors, with LoRA factors merged in.

    Raises:
        UserError: it cannot be loaded, the disk is full, or see `check_target`.
    """
    check_target(model, out)
    files = sorted(file for file in model.iterdir() if file.is_file() and _is_kept(file))
    whole = any(file.suffix == ".safetensors" for file in files)
    with whole_folder(out) as part:
        if whole and not (model / ADAPTER).exists():
            with progress("copying", len(files)) as task:
                for file in files:
                    shutil.copyfile(file, part / file.name)
                    task.advance(note=file.name)
        else:
            say(f"  {model}: merging and writing the weights")
            load_model(str(model)).save_pretrained(part)
            load_tokenizer(str(model)).save_pretrained(part)


def check_target(model: Path, out: Path) -> None:
    """See that a model may take the place of `out`.

    Raises:
        UserError: `out` holds something else than a model, or the model itself.
    """
    if out.exists() and model.resolve().is_relative_to(out.resolve()):
        raise UserError(f"--out {out}: the student itself lies there; choose another folder")
    if out.exists() and not (out.is_dir() and (is_model(out) or not any(out.iterdir()))):
        raise UserError(f"--out {out}: holds something else than a model; choose another folder")


def _is_kept(file: Path) -> bool:
    return file.suffix in KEPT or file.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE"))


def _run_of(model: Path) -> Path | None:
    """The folder of the run that a model is the student of."""
    train = model.absolute().parent
    run = train.parent
    known = (model.name, train.name) == ("model", "train") and (run / "recipe.yaml").exists()
    return run if known else None


def _facts(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty where there is no file.

    Raises:
        UserError: it holds anything else.
    """
    found = read_json(path) if path.exists() else {}
    if not isinstance(found, dict):
        raise UserError(f"{path}: not what a run leaves there; run its recipe again")
    return found


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download

    with loading(name):
        return Path(snapshot_download(name, allow_patterns=[f"*{suffix}" for suffix in KEPT]))
