"""Who answers in a talk: the models that names mean."""

from contextlib import ExitStack
from pathlib import Path

from understudy.chat.gguf import GgufSpeaker
from understudy.chat.speaker import LocalSpeaker
from understudy.chat.talk import Voice
from understudy.errors import UserError
from understudy.models import find_student
from understudy.parts import Parts
from understudy.recipe_file import load_recipe

BASE = "base"


def cast(student: str, beside: str | None, system: str) -> list[Voice]:
    """The models that answer, loaded, each labelled with the name that was given.

    Args:
        student: a run's or training's folder, a model directory, hub name or GGUF file.
        beside: another, or "base": that of the student's run, which is pretrained where it is a
            world's and not in the cache.
        system: a message that opens every conversation; "" is none.

    Raises:
        UserError: one cannot be loaded, or the run is unknown.
    """
    models = {student: student}
    if beside:
        models[beside] = _base_of(student) if beside == BASE else beside
    return [Voice(label, _speaker(model), system) for label, model in models.items()]


def _speaker(name: str) -> GgufSpeaker | LocalSpeaker:
    model = find_student(name)
    return GgufSpeaker(Path(model)) if Path(model).suffix == ".gguf" else LocalSpeaker(model)


def _base_of(run: str) -> str:
    """The directory or hub name of a run's base."""
    recipe = Path(run) / "recipe.yaml"
    if not recipe.exists():
        raise UserError(f"--beside {BASE}: {run} is no run's folder; name the base itself")
    with ExitStack() as resources:
        return Parts(load_recipe(recipe), Path(run), resources).base
