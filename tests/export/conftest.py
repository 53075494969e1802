"""A finished run with a tiny student in it."""

import shutil
from pathlib import Path

import pytest

from report.run_folder import JUDGES, recipe, write_judge, write_run
from train.bases import make_data
from train.tiny_models import TOKENIZERS, build_model
from understudy.curate.terms import binding
from understudy.files import read_json, write_json
from understudy.report.stage import report
from understudy.run import as_yaml
from understudy.train.template import bind, fit_embeddings

TEACHERS = {"gpt-4o-mini": 700, "world-teacher": 61}


def write_student(folder: Path, template: str = "markers", kind: str = "llama") -> Path:
    """A model directory as training leaves it, with random weights."""
    bound = bind(template, TOKENIZERS[kind]())
    model = build_model(kind, len(bound.tokenizer))
    fit_embeddings(model, bound)
    model.save_pretrained(folder)
    bound.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    wanted = recipe(judges=JUDGES, train={"context": 64}, ledger="postgresql://db.internal/calls")
    write_run(folder, wanted)
    write_judge(folder, wanted)
    card = read_json(folder / "curate" / "card.json")
    card["binding"] = binding(card["licences"], TEACHERS, ["dialogues"])
    write_json(folder / "curate" / "card.json", card | {"teachers": TEACHERS})
    report(folder, wanted, folder, 0)
    (folder / "recipe.yaml").write_text(as_yaml(wanted))
    make_data(folder / "curate" / "heldout.jsonl", 12)
    write_student(folder / "train" / "model")
    return folder


@pytest.fixture
def run(made_run: Path, tmp_path: Path) -> Path:
    """The folder of a run whose benchmarks' data are not at hand."""
    return Path(shutil.copytree(made_run, tmp_path / "run"))
