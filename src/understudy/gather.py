"""What the collect stage is handed: benchmark items to keep out, who speaks next, a cost agreed to.

A run does this from its recipe; `gather` does it for the stage alone.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from understudy.collect.dialogues import PromptFile, requests
from understudy.collect.follow_ups import (
    MAX_TOKENS,
    TEACHER,
    TEMPERATURE,
    FollowUps,
    by_model,
    scripted,
)
from understudy.collect.leaks import Held
from understudy.collect.stage import collect
from understudy.errors import UserError
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.benchmarks.kinds import ChoiceItem, ShortItem
from understudy.evaluate.engines import Engine
from understudy.prompts import Prompt
from understudy.recipe import BudgetSettings, CollectSettings, TeacherSettings, check_collect
from understudy.teacher.client import Account, teacher_of
from understudy.teacher.estimate import estimate
from understudy.teacher.prices import prices_of


def gather(
    settings: CollectSettings,
    teacher: TeacherSettings,
    budget: BudgetSettings,
    held: tuple[list[str], Path] | None,
    ledger: str | None,
    out: Path,
    seed: int,
    agreed: Callable[[str], None],
) -> dict[str, Any]:
    """The collect stage alone, without a recipe; see `collect`.

    Args:
        settings, teacher, budget: as a recipe has them.
        held: benchmarks that local pairs must not give away, and the folder of their files.
        ledger: file or address; None: `out`/ledger.sqlite.
        out: folder, which one process at a time may work in.
        seed: of what is drawn.
        agreed: is told what it will cost, and raises to stop.
    """
    check_collect("collect", settings)
    prompts = None
    if not (settings.local or settings.self_instruct):
        if settings.prompts.startswith("world:"):
            raise UserError("collect: no prompts; name a file, or --set self_instruct={}")
        n = settings.n if "n" in settings.model_fields_set else None
        prompts = PromptFile(settings.prompts, settings.column, n)
    name = out.absolute().name
    account = Account(teacher_of(teacher), ledger or out / "ledger.sqlite", name, budget)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            if prompts:
                asked, prices = requests(settings, prompts, seed), prices_of(teacher)[1]
                found = estimate(account, asked, teacher.tokenizer, prices, settings.batch)
                agreed(found.words())
            items = held_items(*held, seed) if held else []
            follow_ups = follow_ups_of(settings.follow_ups, seed)
            return collect(settings, prompts, account, out, seed, items, follow_ups)
    except Timeout:
        raise UserError(f"{out}: another process works in this folder; wait or use --out") from None


def held_items(benchmarks: list[str], data: Path | None, seed: int) -> list[Held]:
    """The questions of benchmarks, of which no pair for training may give an answer away."""
    held = []
    for benchmark in map(find_benchmark, benchmarks):
        for item in benchmark.items(data, None, seed):
            if isinstance(item, ShortItem):
                held.append(Held(benchmark.name, item.id, item.question, item.answers))
            elif isinstance(item, ChoiceItem):
                right = (item.options[item.right],)
                held.append(Held(benchmark.name, item.id, item.question, right))
    return held


def follow_ups_of(named: str | None, seed: int) -> FollowUps | None:
    """Who says the user's next turns: a file's lines or a model; the teacher is the stage's own."""
    if named is None or named == TEACHER:
        return None
    if Path(named).is_dir():
        from understudy.evaluate.engines.local import LocalEngine  # with torch, which takes seconds

        return by_model(partial(_replies, LocalEngine(named), seed=seed))
    return scripted(Path(named), seed)


def _replies(engine: Engine, prompts: list[Prompt], seed: int) -> list[str]:
    given = engine.reply(prompts, 1, TEMPERATURE, MAX_TOKENS, seed)
    return [reply.text for (reply,) in given]
