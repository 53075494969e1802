"""What a data set, a model, a run or a ledger holds, told from its content."""

from collections import Counter
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import read_json, write_text
from understudy.inspect.data import CARD, card_facts, file_facts
from understudy.inspect.page import page
from understudy.inspect.words import words
from understudy.manifest import MANIFEST

__all__ = ["inspect", "words", "write_page"]

SQLITE_MAGIC = b"SQLite format 3\x00"
SAVED = ("dataset_dict.json", "state.json")  # of a folder that `datasets` saved


def inspect(path: Path, pictures: bool = False) -> dict[str, Any]:
    """Facts about what lies at `path`, under a `kind` of run, model, ledger, stage or data.

    Args:
        path: a file or a folder.
        pictures: also count what only a data set's page shows.

    Raises:
        UserError: there is nothing there, or nothing that is known.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    if path.is_file():
        with open(path, "rb") as file:
            is_ledger = file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
        return _ledger(path) if is_ledger else file_facts(path)
    if (path / "recipe.yaml").exists():
        return _run(path)
    if (path / "config.json").exists():
        return _model(path)
    if (path / CARD).exists():
        return card_facts(path, pictures)
    if any((path / name).exists() for name in SAVED):
        return file_facts(path)
    if (path / MANIFEST).exists():
        return {"kind": "stage", **read_json(path / MANIFEST)}
    raise UserError(
        f"{path}: neither a run, a model, a stage nor a data set; name a file or folder inside"
    )


def write_page(path: Path, found: dict[str, Any], out: Path) -> None:
    """Write the page of a data set, of which `inspect` found so much, to `out`.

    Raises:
        UserError: it is no data set, or `out` may not be written to.
    """
    if found["kind"] != "data":
        raise UserError(f"{path}: is a {found['kind']}; --html is for data sets")
    write_text(out, page(path.name or str(path), found))


def _run(path: Path) -> dict[str, Any]:
    stages = {}
    for manifest in sorted(path.rglob(MANIFEST)):
        content = read_json(manifest)
        stages[content["stage"]] = {"wall_s": content["wall_s"], **content["facts"]}
    report = path / "report.json"
    verdict = read_json(report)["verdict"] if report.exists() else "not reached yet"
    return {"kind": "run", "verdict": verdict, "stages": stages}


def _model(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    count, kinds = 0, Counter[str]()
    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - a safetensors handle is no mapping
                part = tensors.get_slice(name)
                size = 1
                for length in part.get_shape():
                    size *= length
                count, kinds[part.get_dtype()] = count + size, kinds[part.get_dtype()] + size
    config = read_json(path / "config.json")
    return {
        "kind": "model",
        "architecture": ", ".join(config.get("architectures") or [config.get("model_type", "?")]),
        "parameters": count,
        "parameters_by_dtype": dict(kinds),
        "vocabulary": config.get("vocab_size"),
        "context": config.get("max_position_embeddings") or config.get("n_positions"),
        "chat_template": (path / "chat_template.jinja").exists(),
    }


def _ledger(path: Path) -> dict[str, Any]:
    from understudy.teacher.ledger import Ledger

    with Ledger(path) as ledger:
        return {"kind": "ledger", **ledger.summary()}
