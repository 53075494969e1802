"""What stages are handed from other stages' code: benchmark items to keep out, models that speak.

Collecting and curating need both, and stages do not import each other. A run does this from its
recipe; `gather` and `curate_alone` do it for a stage alone.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from understudy.curate.decontaminate import Item
from understudy.curate.knowledge import Complete
from understudy.curate.stage import curate
from understudy.errors import UserError
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.benchmarks.kinds import (
    ChoiceItem,
    CodeItem,
    PerplexityItem,
    ShortItem,
    ToxicityItem,
)
from understudy.evaluate.engines import Engine, Sampling
from understudy.prompts import Prompt, iter_prompts
from understudy.recipe import (
    BudgetSettings,
    CollectSettings,
    CurateSettings,
    EvaluateSettings,
    KnowledgeSettings,
    TeacherSettings,
)
from understudy.recipe_file import check_collect
from understudy.teacher.client import Account, teacher_of
from understudy.teacher.estimate import estimate
from understudy.teacher.prices import prices_of

DESCRIBED = 10  # words; a task that is described in fewer was thought of by many
_EXAMPLES = re.compile(r">>>|^ *(?:for )?examples?\b", re.IGNORECASE | re.MULTILINE)

if TYPE_CHECKING:
    from understudy.evaluate.engines.local import LocalEngine


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
    with alone_in(out):
        if prompts:
            asked, prices = requests(settings, prompts, seed), prices_of(teacher)[1]
            found = estimate(account, asked, teacher.tokenizer, prices, settings.batch)
            agreed(found.words())
        items = held_items(*held) if held else []
        follow_ups = follow_ups_of(settings.follow_ups, seed)
        return collect(settings, prompts, account, out, seed, items, follow_ups)


def curate_alone(
    files: Sequence[Path | str],
    settings: CurateSettings,
    data: Path | None,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """The curate stage alone, without a recipe; see `curate`.

    Args:
        files, settings, out, seed: as for `curate`.
        data: folder of benchmark files to check against; None: only settings.contamination.files.
    """
    if data is not None and not data.is_dir():
        raise UserError(f"{data}: no such folder; name one with the published benchmark files")
    if settings.knowledge and not settings.knowledge.base:
        raise UserError("curate: knowledge needs a model to ask; --set knowledge.base=FOLDER")
    checked = settings.contamination
    named = checked.benchmarks
    if named is None:
        named = EvaluateSettings().benchmarks if data else []
    items = benchmark_items(named, data, checked.files)
    with alone_in(out):
        return curate(files, settings, out, seed, items, base_of(settings.knowledge))


def evaluate_alone(
    model: str,
    settings: EvaluateSettings,
    teacher: TeacherSettings | None,
    budget: BudgetSettings,
    ledger: str | None,
    data: Path | None,
    out: Path,
    seed: int,
    agreed: Callable[[str], None],
) -> dict[str, Any]:
    """The evaluate stage alone, without a recipe; see `evaluate`.

    Args:
        model: a directory or hub name, where there is no teacher.
        settings, data, seed: as for `evaluate`.
        teacher: whom to ask over an API instead.
        budget: what that may cost.
        ledger: file or address; None: `out`/ledger.sqlite.
        out: folder, which one process at a time may work in.
        agreed: is told what it will cost, and raises to stop.
    """
    from understudy.evaluate.stage import evaluate, sampling_of  # with torch, which takes seconds

    with alone_in(out):
        if teacher is None:
            from understudy.evaluate.engines.opened import open_model

            engine: Engine = open_model(model, settings)
        else:
            from understudy.evaluate.engines.api import ApiEngine

            name = out.absolute().name
            account = Account(teacher_of(teacher), ledger or out / "ledger.sqlite", name, budget)
            engine = asked = ApiEngine(account, settings.top_logprobs)
            requests = []
            for benchmark in map(find_benchmark, settings.benchmarks):
                items = benchmark.items(data, settings.limit)
                requests += asked.asks(benchmark, items, sampling_of(benchmark, settings, seed))
            found = estimate(account, requests, teacher.tokenizer, prices_of(teacher)[1])
            agreed(found.words())
        return evaluate(engine, settings, data, out, seed, ledger)


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Make a folder and keep other processes of ours out of it."""
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{out}: another process works in this folder; wait or use --out") from None
    try:
        yield
    finally:
        lock.release()


def base_of(settings: KnowledgeSettings | None) -> Complete | None:
    """The base whose knowledge is probed, loaded when it is first asked."""
    if settings is None or settings.base is None:
        return None
    base = settings.base

    @cache
    def engine() -> "LocalEngine":
        from understudy.evaluate.engines.local import LocalEngine  # with torch, which takes seconds

        return LocalEngine(base)

    return lambda *asked: engine().complete(*asked)


def held_items(benchmarks: list[str], data: Path | None) -> list[Held]:
    """The questions of benchmarks, of which no pair for training may give an answer away."""
    held = []
    for benchmark in map(find_benchmark, benchmarks):
        for item in benchmark.items(data, None):
            if isinstance(item, ShortItem):
                held.append(Held(benchmark.name, item.id, item.question, item.answers))
            elif isinstance(item, ChoiceItem):
                right = tuple(item.options[index] for index in item.right)
                held.append(Held(benchmark.name, item.id, item.question, right))
            elif isinstance(item, PerplexityItem):
                held.append(Held(benchmark.name, item.id, item.task, (item.answer,)))
    return held


def benchmark_items(benchmarks: list[str], data: Path | None, files: list[str]) -> list[Item]:
    """What an imitation set must not hold: items of benchmarks, and prompts that are used to judge.

    Args:
        benchmarks: their names.
        data: folder of their published files; None takes the hub's copies.
        files: prompt sets (see `iter_prompts`), each called by its file's name without endings.
            Of a prompt of several messages the longest of the user's stands for it.

    Raises:
        UserError: a file is missing or broken, or two sets have one name.
    """
    items = []
    for benchmark in map(find_benchmark, dict.fromkeys(benchmarks)):
        for item in benchmark.items(data, None):
            if isinstance(item, CodeItem):
                # A task leaks as a program's head, or as its description alone.
                texts = [item.prompt, *_described(item)]
                items += [Item(benchmark.name, item.id, text) for text in texts]
            elif isinstance(item, ToxicityItem):
                items.append(Item(benchmark.name, item.id, item.prompt))
            elif isinstance(item, PerplexityItem):
                items.append(Item(benchmark.name, item.id, item.task))
            else:
                options = item.options if isinstance(item, ChoiceItem) else ()
                items.append(Item(benchmark.name, item.id, item.question, options))
    names = list(benchmarks)
    for file in files:
        name = Path(file).name.partition(".")[0]
        if name in names:
            raise UserError(f"{file}: there is another set called {name}; rename one of them")
        names.append(name)
        for prompt in iter_prompts(file):
            said = [turn.content for turn in prompt.messages if turn.role == "user"]
            items.append(Item(name, prompt.id, max(said, key=len)))
    return items


def _described(item: CodeItem) -> list[str]:
    """What the docstring of a program's head says before its first example, if it says enough."""
    try:
        tree = ast.parse(item.prompt)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == item.entry_point:
            text = _EXAMPLES.split(ast.get_docstring(node) or "", maxsplit=1)[0]
            return [text] if len(text.split()) >= DESCRIBED else []
    return []


def follow_ups_of(named: str | None, seed: int) -> FollowUps | None:
    """Who says the user's next turns: a file's lines or a model; the teacher is the stage's own."""
    if named is None or named == TEACHER:
        return None
    if Path(named).is_dir():
        from understudy.evaluate.engines.local import LocalEngine  # with torch, which takes seconds

        return by_model(partial(_replies, LocalEngine(named), seed=seed))
    return scripted(Path(named), seed)


def _replies(engine: Engine, prompts: list[Prompt], seed: int) -> list[str]:
    how = Sampling(1, TEMPERATURE, max_tokens=MAX_TOKENS, seed=seed)
    given = engine.reply(prompts, how)
    return [reply.text for (reply,) in given]
