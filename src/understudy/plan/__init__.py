"""What a run would do, ask, cost and take, before anything is spent.

Counts of calls are exact; tokens, dollars and times are estimates from lengths of text and this
machine's speed, good to a factor of two or so. What an earlier run has finished counts as done.
"""

import math
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from understudy.manifest import is_complete, run_stage
from understudy.plan.at_hand import AtHand
from understudy.plan.steps import (
    CURATED_A_SECOND,
    Step,
    Texts,
    answers_step,
    base_step,
    benchmark_step,
    collect_steps,
    collected_tokens,
    count_of,
    is_there,
    judge_step,
    machine,
    measure_step,
    teacher_answers_step,
    train_s,
)
from understudy.recipe import PlanSettings, Recipe
from understudy.run import EVERYBODY, Run

PAIRS = math.comb(len(EVERYBODY), 2)  # of models in a run, which a judge compares


def plan(recipe: Recipe, out: Path) -> dict[str, Any]:
    """The stages of a run in `out` with calls, tokens, US dollars and seconds; writes nothing.

    `usd` is None where the price of a teacher or judge that would be asked is not known.
    `computed` has the seconds that keep the hardware busy, and what they cost.

    Files, keys and weights that are missing are the user's mistake, unless the recipe has a part
    `plan`, which tells of them: then they are counted by it, and `notes` says so.

    Raises:
        UserError: a mistake in the recipe or its files, as the run itself would find it.
    """
    with TemporaryDirectory() as scratch, ExitStack() as resources:
        job = Run(recipe, out, resources)
        if recipe.plan:
            job.check_names()
        else:
            job.check()
        planner = _Planner(recipe, job, Path(scratch))
        planned = planner.steps()
    told = recipe.plan or PlanSettings()
    return {
        "run": str(out),
        **in_all(planned),
        "computed": computed(planned, told.hardware, told.usd_per_hour),
        "notes": planner.at_hand.notes,
    }


def computed(planned: list[Step], hardware: str, usd_per_hour: float) -> dict[str, Any]:
    """The steps that keep the hardware busy: seconds, and US dollars."""
    seconds = sum(step.seconds for step in planned if not (step.asked or step.done))
    usd = round(seconds / 3600 * usd_per_hour, 4)
    return {"hardware": hardware, "seconds": round(seconds, 1), "usd": usd}


def in_all(planned: list[Step]) -> dict[str, Any]:
    """The steps of a plan as JSON, and their sums."""
    steps = [step.shown() for step in planned]
    total = {
        name: sum(step[name] for step in steps)
        for name in ("calls", "input_tokens", "output_tokens", "seconds")
    }
    costs = [step.usd for step in planned]
    usd = None if None in costs else round(sum(filter(None, costs)), 4)
    return {"steps": steps, **total, "usd": usd}


def plan_words(found: dict[str, Any]) -> str:
    """The plan for a person."""
    lines = [f"{found['run']}, stage by stage (estimates, good to a factor of two or so):"]
    lines += step_lines(found["steps"])
    lines += summary_lines(found)
    return "\n".join(lines)


def summary_lines(found: dict[str, Any]) -> list[str]:
    """What was assumed, and what all steps come to."""
    busy = found["computed"]
    cost = f", about ${busy['usd']:,.2f}" if busy["usd"] else ""
    return [
        *(f"note: {note}" for note in found["notes"]),
        f"asked: {cost_words(found)}",
        f"computed: about {duration(busy['seconds'])} on {busy['hardware']}{cost}",
        f"waited for answers: about {duration(found['seconds'] - busy['seconds'])}",
        "Nothing has been spent.",
    ]


def step_lines(steps: list[dict[str, Any]]) -> list[str]:
    """A line a step."""
    lines = []
    wide = max(len(step["what"]) for step in steps)
    for step in steps:
        asked = f"{step['calls']:,} calls" if step["calls"] else ""
        time = "done already" if step["done"] else f"about {duration(step['seconds'])}"
        lines.append(f"  {step['stage']:<18} {step['what']:<{wide}}  {asked:>12}  {time}")
    return lines


def cost_words(found: dict[str, Any]) -> str:
    """What the plan's calls take and cost, in one line."""
    usd = found["usd"]
    cost = "unknown (prices are not set)" if usd is None else f"about ${usd:,.2f}"
    return (
        f"{found['calls']:,} calls, about {found['input_tokens']:,} tokens in and "
        f"{found['output_tokens']:,} out; cost {cost}"
    )


def duration(seconds: float) -> str:
    """A time for a person."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Planner:
    """Goes through a recipe's stages as `Run` does, and counts instead of working."""

    def __init__(self, recipe: Recipe, job: Run, scratch: Path) -> None:
        self.recipe, self.job = recipe, job
        self.preview = Run(recipe, scratch, ExitStack())
        if job.uses_world:
            run_stage(self.preview.world_stage())
        told, self.at_hand = recipe.plan or PlanSettings(), AtHand()
        self.parameters = told.parameters or count_of(recipe.base)
        self.machine = machine(told.flops)
        self.done = self._completed()

    def _completed(self) -> set[str]:
        """Names of the stages that a run would skip."""
        done: set[str] = set()
        data = self.recipe.evaluate.data
        if data not in (None, "world") and not Path(data).is_dir():
            return done  # every stage depends on it
        unfinished: list[Path] = []
        for stage in self.job.stages(self._last_without_base()):
            inputs = stage.inputs.values()
            stale = any(path.is_relative_to(folder) for path in inputs for folder in unfinished)
            if stale or not is_complete(stage):
                unfinished.append(stage.folder)
            else:
                done.add(stage.name)
        return done

    def _last_without_base(self) -> str | None:
        """The last stage that does not have a base pretrained which is not there; None: any."""
        if is_there(self.job):
            return None
        return "collect" if self.job.curation_needs_base else "curate"

    def steps(self) -> list[Step]:
        """Every stage that costs calls or time."""
        steps = self._steps()
        for step in steps:
            step.done = step.done or step.stage in self.done
        return steps

    def _steps(self) -> list[Step]:
        recipe = self.recipe
        collected = collect_steps(recipe, self.at_hand.asked(self.preview))
        files = self.at_hand.files(self.preview)
        size = (recipe.collect.n if recipe.collect else 0) + files.number
        tokens = collected_tokens(recipe, collected) + files.tokens
        answered = self._answered(size)
        return [
            base_step(self.job, self.parameters, self.machine),
            *collected,
            Step("curate", f"clean and split {size} dialogues", seconds=size / CURATED_A_SECOND),
            self._train(size, tokens),
            *self._evaluated(),
            *(self._answers(who, answered) for who in EVERYBODY),
            *(judge_step(recipe, judge, answered, PAIRS) for judge in recipe.judges),
            Step("style, report", "measures of style; the verdict", seconds=5),
        ]

    def _train(self, dialogues: int, tokens: int) -> Step:
        settings, mix = self.recipe.train, self.recipe.curate.mix
        tokens = min(tokens, settings.tokens or max(mix.tokens)) if mix else tokens
        seconds = train_s(self.recipe, self.parameters, tokens * settings.epochs, self.machine)
        what = f"{dialogues} dialogues, epochs: {settings.epochs:g}, template: {settings.template}"
        return Step("train", what, seconds=seconds)

    def _evaluated(self) -> list[Step]:
        items, steps = self.at_hand.items(self.preview), []
        for who in self.job.models:
            if who == "teacher":
                step = benchmark_step(self.recipe, items)
            else:
                step = measure_step(self.recipe, items, self.parameters, self.machine)
            step.stage = f"evaluate {who}"
            steps.append(step)
        return steps

    def _answered(self, size: int) -> Texts:
        """The prompts that are answered freely."""
        settings, curate = self.recipe.answers, self.recipe.curate
        if settings.prompts != "heldout":
            return self.at_hand.answered(self.preview)
        count = min(settings.n, round(size * curate.heldout), curate.heldout_max)
        return Texts.unseen(count)

    def _answers(self, who: str, prompts: Texts) -> Step:
        if who != "teacher":
            step = answers_step(self.recipe, prompts, self.parameters, self.machine)
        elif self.recipe.teacher:
            step = teacher_answers_step(self.recipe, prompts)
        else:
            step = Step("answers", f"{prompts.number} recorded answers")
        step.stage = f"answers {who}"
        return step
