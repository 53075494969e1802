"""The study: everything in its folder, in order, and the report at its end."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from understudy.files import write_json, write_text
from understudy.gather import alone_in
from understudy.manifest import Stage, is_complete, run_stage
from understudy.progress import say
from understudy.study.board import Board
from understudy.study.facts import costs_of, gather
from understudy.study.figures import draw
from understudy.study.gallery import gallery
from understudy.study.grid import Cell, cells
from understudy.study.job import Job
from understudy.study.page import page
from understudy.study.results import ANSWERS, read_table
from understudy.study.rule import FILE as RULE
from understudy.study.rule import choose_rule
from understudy.study.settings import StudySettings, as_yaml
from understudy.study.workers import Facts, Shared, Task, Workers, count_workers


def study(settings: StudySettings, out: Path, workers: int | None = None) -> Path:
    """Run a study in `out`; returns the folder.

    What is finished is not done again, what was interrupted goes on.

    Args:
        settings: the study.
        out: its folder, made if it is missing; one process at a time may work in it.
        workers: processes side by side; None: the study's, or one a device.

    Raises:
        UserError: a mistake in the study or its files, or another process works in `out`.
        KeyboardInterrupt: it was asked to stop.
    """
    with alone_in(out), ExitStack() as resources:
        job = Job(settings, out, resources)
        job.check()
        write_text(out / "study.yaml", as_yaml(settings))
        job.start_world()
        for stage in job.shared_stages():
            say(f"✓ {stage.name}: done already" if is_complete(stage) else f"• {stage.name}")
            run_stage(stage)
        _make_students(job, workers or count_workers(settings))
        run_stage(_report_stage(job))
    return out


def _make_students(job: Job, count: int) -> None:
    """Bases, the rule, and every cell, by `count` workers."""
    grid, pilots = cells(job.settings), _pilots(job)
    untried = {task.name for task in pilots}
    with (
        Workers(Shared(job.settings, job.out, job.server), count) as workers,
        Board(job.settings, grid) as board,
    ):

        def begun(task: Task) -> None:
            board.begun(task.name)

        def done(task: Task, facts: Facts) -> None:
            board.done(task.name, task.cell, _headline(facts))
            untried.discard(task.name)
            if task.pilot and not untried:
                choose_rule(job)

        workers.do(_tasks(job, grid, pilots), begun, done)


def _pilots(job: Job) -> list[Task]:
    """Every candidate for the rule, tried on every kind."""
    needs = frozenset({_base_task(job, job.pilot_base, job.settings.seeds[0]).name})
    return [
        Task(f"pilot {number + 1}, {kind}", needs, pilot=(kind, number))
        for kind in job.settings.kinds
        for number in range(len(job.settings.rule.candidates))
    ]


def _tasks(job: Job, grid: list[Cell], pilots: list[Task]) -> list[Task]:
    """The base of the pilots, the pilots, and every cell behind its base."""
    tasks = [_base_task(job, job.pilot_base, job.settings.seeds[0]), *pilots]
    for cell in grid:
        base = _base_task(job, cell.base, cell.seed)
        if base not in tasks:
            tasks.append(base)
        needs = frozenset({base.name, *(task.name for task in pilots)})
        tasks.append(Task(str(cell), needs, cell=cell))
    return tasks


def _base_task(job: Job, base: str, seed: int) -> Task:
    """A base measured; one that several seeds share, under the first of them."""
    folder = job.base_folder(base, seed)
    first = next(one for one in job.settings.seeds if job.base_folder(base, one) == folder)
    return Task(f"base {base}, seed {first}", base=(base, first))


def _headline(facts: Facts) -> dict[str, float]:
    """What the board shows of a student: its scores, and how much of the style gap it closed."""
    shown = dict(facts.get("evaluate student", {}).get("scores", {}))
    style = facts.get("style", {}).get("style_gap_closed", {}).get("value")
    return shown if style is None else shown | {"style": style}


def _report_stage(job: Job) -> Stage:
    """The report, made anew whenever anything that it is made of has changed."""
    out, settings, seed = job.out, job.settings, job.settings.recipe.seed
    knowledge = {key: folder / "probe" / "knowledge.jsonl" for key, folder in job.bases.items()}

    def work() -> dict[str, Any]:
        table = read_table(job)
        answers = {cell: out / cell.folder / ANSWERS for cell in table.students}
        teacher = job.teacher_folder / ANSWERS
        own = {key: folder / ANSWERS for key, folder in job.bases.items()}
        found = gallery(answers, teacher, own, knowledge, settings.gallery, seed)
        facts = gather(table, out, found, costs_of(table, out))
        draw(facts["figures"], out / "figures")
        write_json(out / "report.json", facts)
        write_text(out / "report.html", page(facts))
        return {"verdict": facts["verdict"]}

    inputs = {"rule": out / RULE}
    for name, folder in job.measured_folders():
        inputs[name] = folder
    key = settings.model_dump(exclude={"workers"})
    outputs = ("report.json", "report.html", "figures")
    return Stage("study", out, key, inputs, work, outputs, owns_folder=False)
