"""What a study would do, ask, cost and take, before anything is spent.

It writes nothing, asks nobody, and needs neither weights nor data nor a network. A stage whose
manifest is there counts as done, and what several students have in common is counted once.
Estimates are good to a factor of two or so.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from understudy.files import read_json
from understudy.manifest import MANIFEST, run_stage
from understudy.plan import computed, in_all, step_lines, summary_lines
from understudy.plan.at_hand import AtHand
from understudy.plan.steps import (
    CURATED_A_SECOND,
    Machine,
    Step,
    answers_step,
    base_step,
    benchmark_step,
    collect_steps,
    collected_tokens,
    is_there,
    judge_step,
    machine,
    measure_step,
    teacher_answers_step,
    train_s,
)
from understudy.run import Run
from understudy.study.grid import Cell, cells
from understudy.study.job import Job
from understudy.study.rule import FILE as RULE
from understudy.study.settings import BaseSettings, StudySettings, parameters_of

STYLE_S = 5.0  # to measure a student's style
PROBED = 0.5  # of the teacher's answers state a fact that a base is asked about
PROBE_TOKENS = (200, 80)  # of the question with its examples, and of eight short answers


def plan_study(settings: StudySettings, out: Path) -> dict[str, Any]:
    """The stages of a study in `out` with calls, tokens, US dollars and seconds; writes nothing.

    Returns:
        {"study", "grid" (in words), "steps": [...], "calls", "input_tokens", "output_tokens",
        "seconds", "usd", "computed", "notes"}: `seconds` one after the other; `usd` of the calls,
        None where a price is not known; `computed` what keeps the hardware busy.

    Raises:
        UserError: a base's parameters or a benchmark's number of items cannot be had, or a file
            that is at hand is at fault.
    """
    with TemporaryDirectory() as scratch, ExitStack() as resources:
        planner = _Planner(settings, Job(settings, out, resources), Path(scratch))
        steps = planner.steps()
    return {
        "study": str(out),
        "grid": _grid_words(settings),
        **in_all(steps),
        "computed": computed(steps, settings.hardware.name, settings.hardware.usd_per_hour),
        "notes": planner.at_hand.notes,
    }


def study_words(found: dict[str, Any]) -> str:
    """The plan for a person."""
    lines = [
        f"{found['study']}: {found['grid']}",
        "stage by stage (estimates, good to a factor of two or so):",
        *step_lines(found["steps"]),
        *summary_lines(found),
    ]
    return "\n".join(lines)


def _grid_words(settings: StudySettings) -> str:
    kinds = [f"{len(settings.amounts_of(kind))} amounts of {kind}" for kind in settings.kinds]
    return (
        f"{len(settings.bases)} bases × ({' + '.join(kinds)}) × {len(settings.seeds)} seeds = "
        f"{len(cells(settings))} students"
    )


class _Planner:
    """Goes through a study's stages as `Job` has them, and counts instead of working."""

    def __init__(self, settings: StudySettings, job: Job, scratch: Path) -> None:
        self.settings, self.job, self.recipe = settings, job, settings.recipe
        self.at_hand = AtHand()
        self.machine = machine(settings.hardware.flops)
        # A student is measured on one of the GPUs that train it.
        each = settings.hardware.gpus_per_student
        self.measuring = Machine(self.machine.passing / each, self.machine.writing / each)
        self.parameters = {base.name: parameters_of(base) for base in settings.bases}
        self.previews = {kind: self._preview(kind, scratch / kind) for kind in settings.kinds}
        first = next(iter(self.previews.values()))
        self.items, self.answered = self.at_hand.items(first), self.at_hand.answered(first)

    def _preview(self, kind: str, scratch: Path) -> Run:
        """A kind's run, with the world's files as they will be."""
        run = Run(self.job.data_run(kind).recipe, scratch, ExitStack())
        if run.uses_world:
            run_stage(run.world_stage())
        return run

    def steps(self) -> list[Step]:
        """Every stage that costs calls or time."""
        bases, kinds = self.settings.bases, self.settings.kinds
        styled = [_done(self.job.out / cell.folder / "style") for cell in cells(self.settings)]
        style = Step("style, report", "measures of style; the findings", seconds=STYLE_S)
        return [
            *(self._pretrain(base) for base in bases if base.base.startswith("world:")),
            *(step for kind in kinds for step in self._set(kind)),
            *self._teacher(),
            *(step for base in bases for step in self._base(base)),
            *(step for kind in kinds for step in self._pilots(kind)),
            *(step for base in bases for step in self._students(base)),
            _each(style, styled),
        ]

    def _pretrain(self, base: BaseSettings) -> Step:
        runs = [self.job.base_run(base.name, seed) for seed in self.settings.seeds]
        step = base_step(runs[0], self.parameters[base.name], self.machine)
        return _each(step, [is_there(run) for run in runs])

    def _set(self, kind: str) -> list[Step]:
        """An imitation set, as large as its recipe has it."""
        run, amounts = self.previews[kind], self.settings.amounts_of(kind)
        collected = collect_steps(run.recipe, self.at_hand.asked(run))
        for step in collected:
            step.done = _done(self.job.data(kind, "collect"))
        files = self.at_hand.files(run)
        tokens = collected_tokens(run.recipe, collected) + files.tokens
        if tokens < amounts[-1]:
            self.at_hand.notes.append(
                f"{kind}: about {tokens:,} tokens in sight, and the largest amount is "
                f"{amounts[-1]:,}; raise collect.n or lower the amount"
            )
        size = (run.recipe.collect.n if run.recipe.collect else 0) + files.number
        what = f"{kind}: {size:,} dialogues, about {tokens:,} tokens, into {len(amounts)} amounts"
        done = _done(self.job.data(kind, "curate"))
        return [*collected, Step("curate", what, seconds=size / CURATED_A_SECOND, done=done)]

    def _teacher(self) -> list[Step]:
        evaluated = benchmark_step(self.recipe, self.items)
        answers = teacher_answers_step(self.recipe, self.answered)
        evaluated.done = _done(self.job.teacher_folder / "evaluate")
        answers.done = _done(self.job.teacher_folder / "answers")
        return [evaluated, answers]

    def _base(self, base: BaseSettings) -> list[Step]:
        """A base measured, once a seed if its weights differ by it."""
        seeds = self.settings.seeds
        folders = list(dict.fromkeys(self.job.base_folder(base.name, seed) for seed in seeds))
        steps = {**self._measured(base, "the base"), "probe": self._probe(base)}
        judged = [_done(folder / "judge") for folder in folders]
        return [
            *(
                _each(step, [_done(folder / stage) for folder in folders])
                for stage, step in steps.items()
            ),
            *self._judged(base, "the base", judged),
        ]

    def _measured(self, base: BaseSettings, whose: str) -> dict[str, Step]:
        """A model of a base's size on the benchmarks and in its answers, by stage."""
        parameters, machine = self.parameters[base.name], self.measuring
        steps = {
            "evaluate": measure_step(self.recipe, self.items, parameters, machine),
            "answers": answers_step(self.recipe, self.answered, parameters, machine),
        }
        for step in steps.values():
            step.what = f"{base.name}, {whose}: {step.what}"
        return steps

    def _probe(self, base: BaseSettings) -> Step:
        number, parameters = round(PROBED * self.answered.number), self.parameters[base.name]
        read, written = (number * tokens for tokens in PROBE_TOKENS)
        seconds = self.measuring.pass_s(parameters, read, 2)
        seconds += self.measuring.write_s(parameters, written)
        return Step("probe", f"{base.name}, the base: about {number} facts", seconds=seconds)

    def _pilots(self, kind: str) -> list[Step]:
        """The candidates for the rule, trained and measured on one base and amount."""
        name, amount = self.job.pilot_base, self.job.pilot_amount(kind)
        base = next(base for base in self.settings.bases if base.name == name)
        candidates = self.settings.rule.candidates
        runs = [self.job.pilot_run(kind, number) for number in range(len(candidates))]
        trained = [_done(run.folder("train")) for run in runs]
        epochs = [
            self._epochs(candidate)
            for candidate, done in zip(candidates, trained, strict=True)
            if not done
        ]
        what = f"{name}, {len(candidates)} candidates for {kind}: {amount:,} tokens each"
        measured = self._measured(base, "candidates")["evaluate"]
        return [
            self._train(base, what, amount * sum(epochs), all(trained)),
            _each(measured, [_done(run.folder("evaluate/student")) for run in runs]),
        ]

    def _students(self, base: BaseSettings) -> list[Step]:
        """All students of a base, from their training to the judges."""
        students = [cell for cell in cells(self.settings) if cell.base == base.name]
        trained = []
        for kind in self.settings.kinds:
            own = [cell for cell in students if cell.kind == kind]
            left = [cell.amount for cell in own if not self._is_done(cell, "train")]
            what = f"{base.name}, {len(own)} students of {kind}: {sum(left):,} tokens"
            epochs = self._ruled_epochs(kind)
            what += f", epochs: {epochs:g}" if epochs != 1 else ""
            trained.append(self._train(base, what, sum(left) * epochs, not left))
        measured = self._measured(base, "students")
        return [
            *trained,
            *(
                _each(step, [self._is_done(cell, stage) for cell in students])
                for stage, step in measured.items()
            ),
            *self._judged(base, "students", [self._is_done(cell, "judge") for cell in students]),
        ]

    def _train(self, base: BaseSettings, what: str, tokens: float, done: bool) -> Step:
        seconds = train_s(self.recipe, self.parameters[base.name], tokens, self.machine)
        return Step("train", what, seconds=seconds, done=done)

    def _judged(self, base: BaseSettings, whose: str, done: Sequence[bool]) -> list[Step]:
        """Models of a base's size against the teacher, by every judge."""
        left = list(done).count(False)
        steps = [judge_step(self.recipe, one, self.answered, left) for one in self.recipe.judges]
        for step in steps:
            step.what, step.done = f"{base.name}, {whose}: {step.what}", not left
        return steps

    def _is_done(self, cell: Cell, stage: str) -> bool:
        return _done(self.job.out / cell.folder / stage)

    def _ruled_epochs(self, kind: str) -> float:
        """How often students see their data: by the rule, or the most that it may come to."""
        rule = self.job.out / RULE
        if rule.exists():
            return self._epochs(read_json(rule)["chosen"][kind])
        return max(map(self._epochs, self.settings.rule.candidates))

    def _epochs(self, candidate: dict[str, Any]) -> float:
        return float(candidate.get("epochs", self.recipe.train.epochs))


def _each(step: Step, done: Sequence[bool]) -> Step:
    """A step that is taken several times, of which some are done."""
    left = list(done).count(False)
    if len(done) > 1:
        step.what += f", {len(done)} times"
    if left < len(done):
        step.what += f", {len(done) - left} done already"
    step.seconds, step.done = step.seconds * left, not left
    return step


def _done(folder: Path) -> bool:
    return (folder / MANIFEST).exists()
