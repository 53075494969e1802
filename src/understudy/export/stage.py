"""The export stage: a student in, GGUF files or a directory for the hub out, each with its card."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from understudy import __version__
from understudy.errors import UserError
from understudy.export.card import card_markdown
from understudy.export.gguf import QUANTS, write_gguf
from understudy.export.licence import Binding
from understudy.export.modelfile import chat_format, modelfile, shared_system
from understudy.export.quality import Scales, measure
from understudy.export.student import Student, write_model
from understudy.files import read_json, write_json, write_text
from understudy.manifest import Stage, run_stage
from understudy.models import ADAPTER, CONFIG, load_tokenizer
from understudy.progress import say
from understudy.recipe import Recipe

FACTS, CARD = "export.json", "README.md"
WORK, QUALITY = "made", "quality"  # folders: a manifest for each file; what was measured


def to_hub(student: Student, binding: Binding, out: Path) -> dict[str, Any]:
    """Write a student as a directory that can be uploaded: weights, tokenizer, card, recipe.

    Returns:
        `model`, the folder, and `card`, the file.

    Raises:
        UserError: see `write_model`.
    """
    write_model(student.model, out)
    write_text(out / CARD, card_markdown(student, load_tokenizer(str(out)), binding))
    if student.recipe:
        write_text(out / "recipe.yaml", shown_recipe(student.recipe))
    return {"model": str(out), "card": str(out / CARD)}


def to_gguf(
    student: Student, binding: Binding, quants: Sequence[str], scales: Scales | None, out: Path
) -> dict[str, Any]:
    """Write a student as GGUF files, with a Modelfile and a card.

    Leaves `out/NAME-QUANT.gguf`, Modelfile, README.md and export.json; in `out/made/` a manifest
    for each file and in `out/quality/` what was measured. What is complete is not made again.

    Args:
        student: whose.
        binding: what binds it.
        quants: kinds of quantisation; the Modelfile takes the first.
        scales: to measure the loss of quality with; None: it is not measured.
        out: folder, in which nobody else works.

    Returns:
        The content of export.json: `name`, `original` (`bytes`, `dtype`), `files` (each `file`,
        `quant`, `sha256` and what `write_gguf` says), `quality` (see `quality.measure`; None),
        `template` (whether the Modelfile has one), `licence` and `provenance`.

    Raises:
        UserError: the architecture or the tokenizer cannot be written, or the disk is full.
    """
    if unknown := [quant for quant in quants if quant not in QUANTS]:
        raise UserError(f"--quant {unknown[0]}: not known; choose from {', '.join(QUANTS)}")
    tokenizer = load_tokenizer(str(student.model))
    about = _about(student, binding)
    files = [_file(student, quant, about, out) for quant in dict.fromkeys(quants)]
    quality = None
    if scales:
        paths = {one["quant"]: out / one["file"] for one in files}
        quality = measure(student.model, paths, scales, out / QUALITY, student.seed)
    made = {
        "name": student.name,
        "original": _original(student.model),
        "files": files,
        "quality": quality,
        "template": chat_format(tokenizer) is not None,
        "licence": binding.statement,
        "provenance": _provenance(student),
    }
    system = shared_system(student.heldout())
    text = modelfile(files[0]["file"], tokenizer, system, binding.statement)
    write_text(out / "Modelfile", text)
    write_text(out / CARD, card_markdown(student, tokenizer, binding, made))
    write_json(out / FACTS, made)
    return made


def shown_recipe(recipe: Recipe) -> str:
    """A recipe that may be shown around: YAML, without the address of a ledger.

    Addresses of teachers hold no secrets (see `teacher.client`), and keys are in no recipe.
    """
    shown = recipe.model_copy(update={"ledger": None})
    return str(yaml.safe_dump(shown.model_dump(), sort_keys=False, allow_unicode=True))


def _file(student: Student, quant: str, about: dict[str, str], out: Path) -> dict[str, Any]:
    """What is known of a GGUF file, which is written now if it is not there."""
    name = f"{student.name}-{quant}.gguf"
    output = f"../../{name}"  # from the folder of its manifest

    def work() -> dict[str, Any]:
        say(f"• {name}")
        return write_gguf(student.model, out / name, quant, about)

    settings = {"quant": quant, "about": about}
    inputs = {"model": student.model}
    stage = Stage(f"export {quant}", out / WORK / quant, settings, inputs, work, (output,))
    manifest, _ = run_stage(stage)
    facts: dict[str, Any] = manifest["facts"]
    return {"file": name, "quant": quant, "sha256": manifest["outputs"][output], **facts}


def _about(student: Student, binding: Binding) -> dict[str, str]:
    """What a GGUF file says of itself."""
    about = {"name": student.name, "license": binding.statement}
    if student.recipe:
        teachers = ", ".join(student.card.get("teachers") or ["a teacher that is not known"])
        about["description"] = f"{student.recipe.base}, fine-tuned to imitate {teachers}"
        about["source"] = f"understudy, recipe {student.recipe.name}, seed {student.seed}"
    return about


def _original(model: Path) -> dict[str, Any]:
    """Bytes of a model's weights and their number format."""
    files = [file for file in model.iterdir() if file.suffix in (".safetensors", ".bin")]
    config = read_json(model / CONFIG) if (model / CONFIG).exists() else {}
    dtype = config.get("dtype") or config.get("torch_dtype")
    factors = (model / ADAPTER).exists()
    return {
        "bytes": sum(file.stat().st_size for file in files),
        "dtype": "LoRA factors alone" if factors else dtype,
    }


def _provenance(student: Student) -> dict[str, Any]:
    """Where a student comes from, by name and digest."""
    recipe, training = student.recipe, student.training
    return {
        "recipe": recipe and recipe.name,
        "base": recipe and recipe.base,
        "teachers": list(student.card.get("teachers") or {}),
        "seed": recipe and recipe.seed,
        "inputs": training.get("inputs") or {},
        "model": (training.get("outputs") or {}).get("model"),
        "versions": training.get("versions") or {},
        "understudy": __version__,
    }
