"""The data files of a world by the names that recipes give them (`world:NAME`)."""

from collections.abc import Iterable
from pathlib import Path

from understudy.world.encyclopedia import World
from understudy.world.prompts import write_examples, write_prompts
from understudy.world.published import QUESTIONS, SETS, write_published

EXAMPLES = "examples"
ARRAYS = ("sharegpt", "discord")  # published as one JSON value, not as lines


def of_world(sources: Iterable[str]) -> list[str]:
    """The names of those sources that are a world's."""
    return [source.removeprefix("world:") for source in sources if source.startswith("world:")]


def file_name(name: str) -> str:
    """What the file is called."""
    return f"{name}.json" if name in ARRAYS else f"{name}.jsonl"


def write_file(world: World, name: str, n: int, path: Path, seed: int = 0) -> int:
    """Write `n` records of a set, questions, examples or prompts; returns how many.

    Raises:
        UserError: the world has no such file, or fewer records.
    """
    if name == EXAMPLES:
        return write_examples(world, n, path, seed)
    if name in SETS or name in QUESTIONS:
        return write_published(world, name, n, path, seed)
    return write_prompts(world, name, n, path, seed)
