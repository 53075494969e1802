"""What a run would do, ask, cost and take, before anything is spent.

Counts of calls are exact; tokens, dollars and times are estimates from lengths of text and this
machine's speed, good to a factor of two or so. What an earlier run has finished counts as done.
"""

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from understudy.collect.dialogues import PromptFile
from understudy.curate.readers import read_file
from understudy.dialogue import Dialogue
from understudy.evaluate.benchmarks import find_benchmark
from understudy.manifest import MANIFEST, is_complete, run_stage
from understudy.models import load_config, loading
from understudy.prompts import HUB, read_prompts
from understudy.recipe import CollectSettings, JudgeSettings, Recipe, TeacherSettings
from understudy.run import EVERYBODY, Run
from understudy.teacher.prices import prices_of
from understudy.train.speed import matmul_flops
from understudy.world.bases import base_folder, cache_root, count_parameters

CHARACTERS_A_TOKEN = 4
ANSWER_TOKENS = 200  # of a free answer, where max_tokens allows as many
# Tokens of a benchmark's item, by kind: asked of the teacher (without examples), and answered.
ITEM_TOKENS = {"choice": (120, 2), "short": (40, 5), "code": (180, 120), "toxicity": (20, 20)}
TOKENS_A_WORD = 1.3
# Shares of the matmul speed that passes over many tokens, and writing token by token, reach.
PASS_SHARE, WRITE_SHARE = 0.5, 0.05
# Where the teacher invents: the share that is kept, tokens asked, and the length of an item.
YIELD, INVENT_TOKENS, INVENTED_TOKENS, ITEM_CHARACTERS = 0.5, 500, 40, 100
# Tokens of a comparison of two answers, by the judge's protocol: asked beside them, and answered.
JUDGE_TOKENS = {"hurried": (250, 3), "style": (250, 3), "checking": (500, 250)}
CALL_S = {"world": 0.05, "elsewhere": 5.0}  # seconds from a request to its whole answer


@dataclass
class Step:
    """One stage of the plan: what it does, in words and numbers; `asked` is whom it asks."""

    stage: str
    what: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    done: bool = False
    asked: TeacherSettings | None = None

    @property
    def usd(self) -> float | None:
        """What its calls cost; None where no price is known."""
        if not self.calls or self.done:
            return 0.0
        prices = prices_of(self.asked)[0] if self.asked else None
        if prices is None:
            return None
        return (self.input_tokens * prices.input + self.output_tokens * prices.output) / 1e6

    def shown(self) -> dict[str, Any]:
        """As JSON; a finished stage asks for nothing more."""
        numbers = {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": round(self.seconds, 1),
        }
        if self.done:
            numbers = dict.fromkeys(numbers, 0)
        return {"stage": self.stage, "what": self.what, "done": self.done, **numbers}


def plan(recipe: Recipe, out: Path) -> dict[str, Any]:
    """The stages of a run in `out` with calls, tokens, US dollars and seconds; writes nothing.

    `usd` is None where the price of a teacher or judge that would be asked is not known.

    Raises:
        UserError: a mistake in the recipe or its files, as the run itself would find it.
    """
    with TemporaryDirectory() as scratch, ExitStack() as resources:
        job = Run(recipe, out, resources)
        job.check()
        planner = _Planner(recipe, job, Path(scratch))
        planned = planner.steps()
    steps = [step.shown() for step in planned]
    total = {
        name: sum(step[name] for step in steps)
        for name in ("calls", "input_tokens", "output_tokens", "seconds")
    }
    costs = [step.usd for step in planned]
    usd = None if None in costs else round(sum(filter(None, costs)), 4)
    return {"run": str(out), "steps": steps, **total, "usd": usd}


def plan_words(found: dict[str, Any]) -> str:
    """The plan for a person."""
    lines = [f"{found['run']}, stage by stage (estimates, good to a factor of two or so):"]
    wide = max(len(step["what"]) for step in found["steps"])
    for step in found["steps"]:
        asked = f"{step['calls']} calls" if step["calls"] else ""
        time = "done already" if step["done"] else f"about {_duration(step['seconds'])}"
        lines.append(f"  {step['stage']:<18} {step['what']:<{wide}}  {asked:>10}  {time}")
    lines.append(f"in all: {cost_words(found)}")
    lines.append(f"time: about {_duration(found['seconds'])}. Nothing has been spent.")
    return "\n".join(lines)


def cost_words(found: dict[str, Any]) -> str:
    """What the plan's calls take and cost, in one line."""
    usd = found["usd"]
    cost = "unknown (prices are not set)" if usd is None else f"about ${usd:.2f}"
    return (
        f"{found['calls']} calls, about {found['input_tokens']} tokens in and "
        f"{found['output_tokens']} out; cost {cost}"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Planner:
    """Goes through a recipe's stages as `Run` does, and counts instead of working."""

    def __init__(self, recipe: Recipe, job: Run, scratch: Path) -> None:
        self.recipe, self.job, self.scratch = recipe, job, scratch
        self.preview = Run(recipe, scratch, ExitStack())
        if job.uses_world:
            run_stage(self.preview.world_stage())
        self.parameters = _parameters(recipe.base)
        self.done = self._completed()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.flops = matmul_flops("fp32", device, 1024, 1024, 1024)

    def _completed(self) -> set[str]:
        """Names of the stages that a run would skip."""
        done: set[str] = set()
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
        if self._base_is_there():
            return None
        return "collect" if self.job.curation_needs_base else "curate"

    def _base_is_there(self) -> bool:
        kind, _, size = self.recipe.base.partition(":")
        words, seed = self.recipe.world.text_tokens, self.recipe.world.seed
        return (
            kind != "world"
            or (base_folder(self.job.world, size, cache_root(), words, seed) / MANIFEST).exists()
        )

    def steps(self) -> list[Step]:
        """Every stage that costs calls or time."""
        collected, dialogues = self._collect(), self._files()
        steps = [self._pretrain(), *collected]
        size = (self.recipe.collect.n if self.recipe.collect else 0) + len(dialogues)
        tokens = sum(step.input_tokens + step.output_tokens for step in collected)
        tokens += sum(len(t.content) for d in dialogues for t in d.turns) // CHARACTERS_A_TOKEN
        steps.append(Step("curate", f"clean and split {size} dialogues"))
        mix = self.recipe.curate.mix
        steps.append(self._train(size, min(tokens, max(mix.tokens)) if mix else tokens))
        steps += [self._evaluate(who) for who in self.job.models]
        heldout = min(round(size * self.recipe.curate.heldout), self.recipe.curate.heldout_max)
        count, characters = self._answered(heldout)
        steps += [self._answers(who, count, characters) for who in EVERYBODY]
        steps += [self._judge(settings, count, characters) for settings in self.recipe.judges]
        return [*steps, Step("style, report", "measures of style; the verdict", seconds=5)]

    def _pretrain(self) -> Step:
        kind, _, size = self.recipe.base.partition(":")
        if kind != "world":
            return Step("base", self.recipe.base)
        words = self.recipe.world.text_tokens
        return Step(
            "base",
            f"pretrain {size}, {self.parameters / 1e6:.1f}M parameters, {words:,} words",
            seconds=self._pass_s(words * TOKENS_A_WORD, 6),
            done=self._base_is_there(),
        )

    def _collect(self) -> list[Step]:
        settings = self.recipe.collect
        if not settings:
            return []
        steps = []
        if settings.self_instruct:
            new = settings.self_instruct.per_request - settings.self_instruct.shown
            steps.append(self._invented(f"{settings.n} new instructions", settings.n, new))
        if settings.local:
            new = settings.local.per_request
            steps.append(self._invented(f"{settings.n} pairs like the examples", settings.n, new))
        else:
            steps.append(self._asked(settings))
        return [self._timed(step) for step in steps]

    def _invented(self, what: str, count: int, new: int) -> Step:
        """The step of having the teacher write `count` items, `new` in an answer."""
        calls = math.ceil(count / max(1.0, YIELD * new))
        written = calls * new * INVENTED_TOKENS
        done = "collect" in self.done
        return Step("collect", what, calls, calls * INVENT_TOKENS, written, done=done)

    def _asked(self, settings: CollectSettings) -> Step:
        """The step of putting prompts to the teacher."""
        placed = self.preview.collect_settings(settings)
        if settings.self_instruct:
            count, characters, what = settings.n, settings.n * ITEM_CHARACTERS, "those instructions"
        else:
            prompts = list(PromptFile(placed.prompts, placed.column, placed.n))
            characters = sum(len(turn.content) for p in prompts for turn in p.messages)
            count, what = len(prompts), f"{len(prompts)} prompts of {settings.prompts}"
        calls = count * settings.samples * settings.turns
        answers = calls * min(ANSWER_TOKENS, settings.max_tokens)
        asked = characters * settings.samples // CHARACTERS_A_TOKEN
        # Every later turn is asked with all that was said before.
        asked = asked * settings.turns + answers * (settings.turns - 1) // 2
        done = "collect" in self.done
        return Step("collect", f"answers to {what}", calls, asked, answers, done=done)

    def _files(self) -> list[Dialogue]:
        """The dialogues that are at hand; what the hub has is not fetched for a plan."""
        local = (file for file in self.recipe.curate.files if not file.startswith(HUB))
        records = (record for file in local for record in read_file(Path(file)))
        return [record.dialogue for record in records if record.dialogue]

    def _train(self, dialogues: int, tokens: int) -> Step:
        settings = self.recipe.train
        seconds = self._pass_s(tokens * settings.epochs, 6)
        what = f"{dialogues} dialogues, epochs: {settings.epochs:g}, template: {settings.template}"
        return Step("train", what, seconds=seconds, done="train" in self.done)

    def _evaluate(self, who: str) -> Step:
        settings = self.recipe.evaluate
        data = self.preview.benchmarks_folder()
        step = Step(f"evaluate {who}", "", done=f"evaluate {who}" in self.done)
        for benchmark in map(find_benchmark, settings.benchmarks):
            items = benchmark.items(data, settings.limit)
            asked, answered = ITEM_TOKENS[benchmark.kind]
            if any(extract.pattern for _, extract in benchmark.extracts):
                answered = ANSWER_TOKENS  # it ends a reasoning
            samples = {"code": settings.samples, "toxicity": settings.toxicity.samples}
            answers = len(items) * samples.get(benchmark.kind, 1)
            step.what += f"{', ' * bool(step.what)}{benchmark.name} {len(items)}"
            if who == "teacher":
                step.calls += answers
                step.input_tokens += answers * asked
                step.output_tokens += answers * answered
            else:
                read = sum(len(item.prompt) for item in items) / CHARACTERS_A_TOKEN
                written = 0 if benchmark.kind == "choice" else answers * answered
                step.seconds += self._pass_s(read, 2) + self._write_s(written)
        return self._timed(step) if who == "teacher" else step

    def _answered(self, heldout: int) -> tuple[int, int]:
        """How many prompts are answered freely, and their characters."""
        settings = self.recipe.answers
        if settings.prompts == "heldout":
            count = min(settings.n, heldout)
            return count, count * 200
        prompts = read_prompts(self.preview.prompts_file(settings.prompts))[: settings.n]
        return len(prompts), sum(len(turn.content) for p in prompts for turn in p.messages)

    def _answers(self, who: str, count: int, characters: int) -> Step:
        settings = self.recipe.answers
        written = count * min(ANSWER_TOKENS, settings.max_tokens)
        done = f"answers {who}" in self.done
        if who != "teacher":
            seconds = self._write_s(written)
            return Step(f"answers {who}", f"{count} prompts", seconds=seconds, done=done)
        if not self.recipe.teacher:
            return Step("answers teacher", f"{count} recorded answers", done=done)
        step = Step(
            "answers teacher",
            f"{count} prompts, each twice (for the ceiling of style)",
            calls=2 * count,
            input_tokens=2 * characters // CHARACTERS_A_TOKEN,
            output_tokens=2 * written,
            done=done,
        )
        return self._timed(step)

    def _judge(self, settings: JudgeSettings, count: int, characters: int) -> Step:
        calls = 2 * count * math.comb(len(EVERYBODY), 2)
        beside, answered = JUDGE_TOKENS[settings.protocol]
        written = min(ANSWER_TOKENS, self.recipe.answers.max_tokens)
        step = Step(
            "judge",
            f"{settings.model}, {settings.protocol}: {calls} comparisons",
            calls=calls,
            input_tokens=calls
            * (beside + 2 * written + characters // CHARACTERS_A_TOKEN // max(1, count)),
            output_tokens=calls * answered,
            done="judge" in self.done,
        )
        return self._timed(step, settings)

    def _timed(self, step: Step, asked: TeacherSettings | None = None) -> Step:
        """The step with whom it asks, the teacher if nobody else, and the seconds that takes."""
        step.asked = asked or self.recipe.teacher
        assert step.asked is not None
        each = CALL_S["world" if step.asked.base_url == "world" else "elsewhere"]
        step.seconds = step.calls * each / step.asked.concurrency
        return step

    def _pass_s(self, tokens: float, operations: int) -> float:
        return operations * self.parameters * tokens / (PASS_SHARE * self.flops)

    def _write_s(self, tokens: float) -> float:
        return 2 * self.parameters * tokens / (WRITE_SHARE * self.flops)


def _parameters(base: str) -> int:
    """How many parameters a base has, from its shape alone."""
    kind, _, size = base.partition(":")
    if kind == "world":
        return count_parameters(size)
    config = load_config(base)
    with loading(base), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())
