"""What a data set, a model, a run or a ledger holds, told from its content."""

from collections import Counter
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import read_json
from understudy.manifest import MANIFEST

SQLITE_MAGIC = b"SQLite format 3\x00"


def inspect(path: Path) -> dict[str, Any]:
    """Facts about what lies at `path`, under a `kind` of run, model, ledger or data."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    if path.is_file():
        with open(path, "rb") as file:
            is_ledger = file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
        return _ledger(path) if is_ledger else _data(path)
    if (path / "recipe.yaml").exists():
        return _run(path)
    if (path / "config.json").exists():
        return _model(path)
    if (path / MANIFEST).exists():
        return {"kind": "stage", **read_json(path / MANIFEST)}
    raise UserError(f"{path}: neither a run, a model nor a stage; name a file or folder inside")


def words(found: dict[str, Any]) -> str:
    """The facts as indented lines."""
    return "\n".join(_lines(found, ""))


def _lines(value: Any, indent: str) -> list[str]:
    lines = []
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            lines += [f"{indent}{key}:", *_lines(inner, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {inner if inner != {} else 'none'}")
    return lines


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


def _data(path: Path) -> dict[str, Any]:
    from understudy.curate.readers import read_file

    reasons: Counter[str] = Counter()
    teachers: Counter[str] = Counter()
    dialogues = turns = characters = 0
    for record in read_file(path):
        if record.dialogue is None:
            reasons[record.reason or "unreadable"] += 1
            continue
        dialogues += 1
        turns += len(record.dialogue.turns)
        characters += sum(len(turn.content) for turn in record.dialogue.turns)
        teachers[record.dialogue.teacher or "unknown"] += 1
    return {
        "kind": "data",
        "dialogues": dialogues,
        "turns": turns,
        "characters": characters,
        "teachers": dict(teachers),
        "unreadable": dict(reasons),
    }
