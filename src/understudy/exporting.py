"""Export, handed what it needs of other stages: engines, benchmarks, templates, licences."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from understudy.curate.terms import Terms, licence_terms, on_the_hub
from understudy.dialogue import Dialogue
from understudy.errors import UserError
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.compare import compare
from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.engines.text import Row
from understudy.evaluate.stage import evaluate
from understudy.export.gguf_read import load_gguf
from understudy.export.licence import Binding, licence_of
from understudy.export.quality import LOSSES, SCORES, Scales
from understudy.export.stage import to_gguf, to_hub
from understudy.export.student import Student, check_target, student_at, write_model
from understudy.files import digest, file_digest, write_jsonl
from understudy.gather import alone_in
from understudy.models import training_of
from understudy.recipe import EvaluateSettings, TrainSettings
from understudy.train.stage import save_checkpoint_as_model, template_for
from understudy.train.tokens import encode_dialogue

ITEMS = 100  # of a benchmark that quantised files are put to
RIGHT_OR_WRONG = ("choice", "short", "code")  # the kinds of benchmark whose items can be paired
NONE, MADE_HERE = "none; made from random weights", Terms("understudy’s world", "nothing", "free")
OWN = (".yaml", ".yml")  # benchmarks of the user's own, which bring their data


def export(
    name: str,
    to: Literal["model", "gguf", "hub"],
    out: Path,
    quants: Sequence[str] = ("q4_0",),
    called: str | None = None,
    measured: bool = True,
    heldout: Path | None = None,
) -> dict[str, Any]:
    """A student in a form that others take.

    Args:
        name: a run, a training, a model directory or a hub name.
        to: a plain model directory, which may also come of a stopped training's last checkpoint;
            GGUF files; or a directory for the hub.
        out: folder.
        quants: of the GGUF files; the first is the one that is run by default.
        called: what the student is to be called; None: as its recipe or its folder is.
        measured: whether the files' loss of quality is measured.
        heldout: dialogues to measure it on; None: the run's.

    Returns:
        The facts: what export.json holds, or the model's folder and what is known of it.

    Raises:
        UserError: there is no such student, or it cannot be written in that form.
    """
    training = training_of(Path(name))
    if to == "model" and (training / "checkpoint").is_dir():
        check_target(training, out)
        return {"model": str(out), "step": save_checkpoint_as_model(training, out)}
    student = student_at(name, called)
    if to == "model":
        write_model(student.model, out)
        return {"model": str(out)}
    binding = binding_of(student)
    if to == "hub":
        return to_hub(student, binding, out)
    with alone_in(out):
        scales = scales_of(student, heldout) if measured else None
        return to_gguf(student, binding, quants, scales, out)


def binding_of(student: Student) -> Binding:
    """What binds a student: the licence of its base, and what its imitation set's card says."""
    base = student.recipe.base if student.recipe else str(student.model)
    own = base.startswith("world:")
    name = NONE if own else licence_of(base)
    terms = MADE_HERE if own else licence_terms(name or "unknown")
    return Binding(name, on_the_hub(name or ""), asdict(terms), student.card.get("binding") or {})


def scales_of(student: Student, heldout: Path | None) -> Scales:
    """What a student's quality is measured with: held-out dialogues and its run's benchmarks.

    Args:
        student: whose.
        heldout: dialogues; None: its run's.
    """
    settings, data, missing = benchmarks_of(student)
    dialogues = student.heldout(heldout)
    try:
        rows = rows_of(student, dialogues) if dialogues else []
    except UserError as error:  # the template does not take them
        rows, missing["perplexity"] = [], str(error)
    if not dialogues:
        missing["perplexity"] = "there are no held-out dialogues; --heldout names some"

    def weigh(model: Path, out: Path) -> None:
        engine = _opened(model)
        if rows:
            read = {row: values for row, values, _ in engine.weigh(rows, "perplexity")}
            sums = [(-sum(read[row]), len(read[row])) for row in range(len(rows))]
            write_jsonl(out / LOSSES, [{"nats": nats, "tokens": count} for nats, count in sums])
        if settings:
            evaluate(engine, settings, data, out, student.seed)

    asked = [[row.ids for row in rows], [row.reads for row in rows], student.seed]
    asked += [settings and settings.model_dump(), data and file_digest(data)]
    outputs = (*([LOSSES] if rows else []), *([SCORES] if settings else []))
    return Scales(weigh, compare, {"asked": digest(asked)}, outputs, missing)


def rows_of(student: Student, dialogues: Sequence[Dialogue]) -> list[Row]:
    """What is read of dialogues under the student's template: each assistant's token.

    They are cut to the context of its training, and one without an answer within it is left out.

    Raises:
        UserError: the template does not suit the student's tokenizer, or refuses a dialogue.
    """
    settings = student.recipe.train if student.recipe else TrainSettings(template="own")
    template = template_for(str(student.model), settings)
    rows = []
    for dialogue in dialogues:
        encoded = encode_dialogue(dialogue, template)
        ids = encoded.ids[: settings.context]
        reads = [(p - 1, ids[p]) for p in range(1, len(ids)) if encoded.supervised[p]]
        rows += [Row(ids, reads)] if reads else []
    return rows


def benchmarks_of(student: Student) -> tuple[EvaluateSettings | None, Path | None, dict[str, str]]:
    """The benchmarks of a student's run that a file can be put to, the folder of their data, and
    why each of the others is not measured."""
    if student.recipe is None or student.run is None:
        return None, None, {"benchmarks": "there is no run that names some"}
    asked = student.recipe.evaluate
    world = student.run / "world" / "benchmarks"
    data = world if asked.data == "world" else Path(asked.data) if asked.data else None
    at_hand = data is not None and data.is_dir()
    chosen, missing = [], {}
    for name in asked.benchmarks:
        if find_benchmark(name).kind not in RIGHT_OR_WRONG:
            missing[name] = "its items are not right or wrong"
        elif not at_hand and Path(name).suffix not in OWN:
            missing[name] = (
                f"its data are not at hand in {data}" if data else "its data are the hub’s"
            )
        else:
            chosen.append(name)
    changes = {
        "benchmarks": chosen,
        "limit": min(ITEMS, asked.limit or ITEMS),
        "engine": "local",
        "dtype": "fp32",
        "samples": 1,
        "temperature": 0.0,
        "exclude": None,  # what the imitation set touches, it touches before and after
        "contamination": None,
    }
    settings = asked.model_copy(update=changes) if chosen else None
    return settings, data if at_hand else None, missing


def _opened(model: Path) -> LocalEngine:
    """A model directory, or what the weights of a GGUF file say."""
    return LocalEngine(str(model), loaded=load_gguf(model) if model.suffix == ".gguf" else None)
