"""Steps of a plan: what each stage asks, writes and takes, from counts of what goes into it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM

from understudy.collect.dialogues import PromptFile
from understudy.curate.readers import read_file
from understudy.dialogue import Turn
from understudy.evaluate.benchmarks import find_benchmark
from understudy.manifest import MANIFEST
from understudy.models import load_config, loading
from understudy.prompts import HUB, read_prompts
from understudy.recipe import CollectSettings, JudgeSettings, Recipe, TeacherSettings
from understudy.run import Run
from understudy.teacher.prices import prices_of
from understudy.train.distil.objective import LEDGER
from understudy.train.speed import matmul_flops
from understudy.world.bases import base_folder, cache_root, count_parameters

CHARACTERS_A_TOKEN = 4
PROMPT_CHARACTERS = 200  # of a prompt that is not at hand
ANSWER_TOKENS = 200  # of a free answer, where max_tokens allows as many
# Tokens of a benchmark's item, by kind: asked of the teacher (without examples), and answered. A
# right answer that is weighed is read in three forms, and behind its task in two; an API cannot.
ITEM_TOKENS = {
    "choice": (120, 2),
    "short": (40, 5),
    "code": (180, 120),
    "toxicity": (20, 20),
    "perplexity": (60, 75),
}
TOKENS_A_WORD = 1.3
# Shares of the matmul speed that passes over many tokens, and writing token by token, reach.
PASS_SHARE, WRITE_SHARE = 0.5, 0.05
# Where the teacher invents: the share that is kept, tokens asked, and the length of an item.
YIELD, INVENT_TOKENS, INVENTED_TOKENS, ITEM_CHARACTERS = 0.5, 500, 40, 100
# Tokens of a comparison of two answers, by the judge's protocol: asked beside them, and answered.
JUDGE_TOKENS = {
    "hurried": (250, 3),
    "style": (250, 3),
    "checking": (500, 250),
    "scores": (300, 150),
}
CALL_S = {"world": 0.05, "elsewhere": 5.0}  # seconds from a request to its whole answer
BATCH_S = 86_400.0  # within which a Batch API answers
CURATED_A_SECOND = 2400  # dialogues, on one core (docs/curate.md)


class Texts(NamedTuple):
    """So many texts, of so many characters together."""

    number: int
    characters: int

    @classmethod
    def of(cls, texts: Iterable[Iterable[Turn]]) -> "Texts":
        """How much some dialogues or prompts are, given by their turns."""
        lengths = [sum(len(turn.content) for turn in turns) for turns in texts]
        return cls(len(lengths), sum(lengths))

    @classmethod
    def unseen(cls, number: int) -> "Texts":
        """So many prompts that are not at hand."""
        return cls(number, number * PROMPT_CHARACTERS)

    @property
    def tokens(self) -> int:
        return self.characters // CHARACTERS_A_TOKEN


class Machine(NamedTuple):
    """Floating-point operations a second: of passes over many tokens, of writing one by one."""

    passing: float
    writing: float

    def pass_s(self, parameters: float, tokens: float, operations: int) -> float:
        """Seconds for `operations` a parameter and token, as 2 to read."""
        return operations * parameters * tokens / self.passing

    def write_s(self, parameters: float, tokens: float) -> float:
        """Seconds to write so many tokens."""
        return 2 * parameters * tokens / self.writing


def machine(sustained: float | None) -> Machine:
    """A machine by its operations a second in training; None: this one, measured."""
    if sustained is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        sustained = PASS_SHARE * matmul_flops("fp32", device, 1024, 1024, 1024)
    return Machine(sustained, sustained * WRITE_SHARE / PASS_SHARE)


@dataclass
class Step:
    """One stage of the plan: what it does, in words and numbers.

    `asked` is whom it asks; `batched`: through a Batch API, at its price.
    """

    stage: str
    what: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    done: bool = False
    asked: TeacherSettings | None = None
    batched: bool = False

    @property
    def usd(self) -> float | None:
        """What its calls cost; None where no price is known."""
        if not self.calls or self.done:
            return 0.0
        prices = prices_of(self.asked)[0] if self.asked else None
        if prices is None:
            return None
        usd = (self.input_tokens * prices.input + self.output_tokens * prices.output) / 1e6
        return usd * prices.batch if self.batched else usd

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


def base_step(job: Run, parameters: float, machine: Machine) -> Step:
    """The base, which the world's are pretrained for."""
    base, words = job.recipe.base, job.recipe.world.text_tokens
    if not base.startswith("world:"):
        return Step("base", base)
    size = base.partition(":")[2]
    what = f"pretrain {size}, {parameters / 1e6:.1f}M parameters, {words:,} words"
    seconds = machine.pass_s(parameters, words * TOKENS_A_WORD, 6)
    return Step("base", what, seconds=seconds, done=is_there(job))


def is_there(job: Run) -> bool:
    """Whether a run finds its base without pretraining it."""
    kind, _, size = job.recipe.base.partition(":")
    if kind != "world":
        return True
    words = job.recipe.world.text_tokens
    folder = base_folder(job.world, size, cache_root(), words, job.base_seed)
    return (folder / MANIFEST).exists()


def count_of(base: str) -> int:
    """How many parameters a base has, from its shape alone."""
    kind, _, size = base.partition(":")
    if kind == "world":
        return count_parameters(size)
    config = load_config(base)
    with loading(base), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def train_s(recipe: Recipe, parameters: float, tokens: float, machine: Machine) -> float:
    """Seconds to train a model of so many parameters on `tokens`, each epoch's counted.

    A token takes 6 operations a parameter: 2 forward and 4 back (Kaplan et al. 2020, arXiv
    2001.08361, section 2.1). Frozen weights beside LoRA's factors get no gradient of their own,
    which leaves 4. Of a teacher whose distributions are learnt every token takes another 2, and
    what the student writes itself is written one by one.
    """
    distil = recipe.train.distil
    seconds = machine.pass_s(parameters, tokens, 4 if recipe.train.lora else 6)
    if distil and distil.teacher != LEDGER:
        told = recipe.plan and recipe.plan.teacher_parameters
        seconds += machine.pass_s(told or count_of(distil.teacher), tokens, 2)
        seconds += machine.write_s(parameters, tokens * distil.on_policy)
    return seconds


def collect_steps(recipe: Recipe, prompts: Texts) -> list[Step]:
    """What the teacher invents, and what it answers; `prompts` are those put to it, if any are."""
    settings, teacher = recipe.collect, recipe.teacher
    if settings is None or teacher is None:
        return []
    if settings.local:
        new = settings.local.per_request
        return [_invented(f"{settings.n} pairs like the examples", settings.n, new, teacher)]
    if settings.self_instruct:
        new = settings.self_instruct.per_request - settings.self_instruct.shown
        invented = _invented(f"{settings.n} new instructions", settings.n, new, teacher)
        written = Texts(settings.n, settings.n * ITEM_CHARACTERS)
        return [invented, _asked(settings, written, "those instructions", teacher)]
    what = f"{prompts.number} prompts of {settings.prompts}"
    return [_asked(settings, prompts, what, teacher)]


def collected_tokens(recipe: Recipe, steps: list[Step]) -> int:
    """About how many tokens the dialogues have that these steps collect."""
    if not recipe.collect or not steps:
        return 0
    if recipe.collect.local:
        return recipe.collect.n * INVENTED_TOKENS
    return steps[-1].input_tokens + steps[-1].output_tokens


def _invented(what: str, count: int, new: int, teacher: TeacherSettings) -> Step:
    """The step of having the teacher write `count` items, `new` in an answer."""
    calls = math.ceil(count / max(1.0, YIELD * new))
    written = calls * new * INVENTED_TOKENS
    return timed(Step("collect", what, calls, calls * INVENT_TOKENS, written), teacher)


def _asked(settings: CollectSettings, prompts: Texts, what: str, teacher: TeacherSettings) -> Step:
    """The step of putting prompts to the teacher."""
    calls = prompts.number * settings.samples * settings.turns
    answers = calls * min(ANSWER_TOKENS, settings.max_tokens)
    asked = prompts.tokens * settings.samples
    # Every later turn is asked with all that was said before.
    asked = asked * settings.turns + answers * (settings.turns - 1) // 2
    step = Step("collect", f"answers to {what}", calls, asked, answers, batched=settings.batch)
    return timed(step, teacher)


def benchmark_step(recipe: Recipe, items: Mapping[str, Texts]) -> Step:
    """The benchmarks put to the teacher; `items` of each by its name in the recipe."""
    items = {name: texts for name, texts in items.items() if not _is_weighed(name)}
    step = Step("evaluate teacher", _items_words(items))
    for name, texts in items.items():
        asked, answered = _item_tokens(name)
        calls = texts.number * _samples(recipe, name)
        step.calls += calls
        step.input_tokens += calls * asked
        step.output_tokens += calls * answered
    assert recipe.teacher is not None
    return timed(step, recipe.teacher)


def measure_step(
    recipe: Recipe, items: Mapping[str, Texts], parameters: float, machine: Machine
) -> Step:
    """The benchmarks put to a model here."""
    step = Step("evaluate", _items_words(items))
    for name, texts in items.items():
        read = texts.tokens
        if _is_weighed(name):
            read = 2 * read + 3 * texts.number * _item_tokens(name)[1]
        step.seconds += machine.pass_s(parameters, read, 2)
        if find_benchmark(name).kind not in ("choice", "perplexity"):
            written = texts.number * _samples(recipe, name) * _item_tokens(name)[1]
            step.seconds += machine.write_s(parameters, written)
    return step


def _is_weighed(name: str) -> bool:
    """Whether a benchmark takes the likelihood of right answers, which an API does not tell."""
    return find_benchmark(name).kind == "perplexity"


def _items_words(items: Mapping[str, Texts]) -> str:
    return ", ".join(f"{find_benchmark(name).name} {items[name].number}" for name in items)


def _item_tokens(name: str) -> tuple[int, int]:
    """Tokens asked and answered."""
    benchmark = find_benchmark(name)
    asked, answered = ITEM_TOKENS[benchmark.kind]
    reasons = any(extract.pattern for _, extract in benchmark.extracts)
    return asked, ANSWER_TOKENS if reasons else answered


def _samples(recipe: Recipe, name: str) -> int:
    settings = recipe.evaluate
    samples = {"code": settings.samples, "toxicity": settings.toxicity.samples}
    return samples.get(find_benchmark(name).kind, 1)


def teacher_answers_step(recipe: Recipe, prompts: Texts) -> Step:
    """The teacher's free answers."""
    assert recipe.teacher is not None
    step = Step(
        "answers teacher",
        f"{prompts.number} prompts, each twice (for the ceiling of style)",
        calls=2 * prompts.number,
        input_tokens=2 * prompts.tokens,
        output_tokens=2 * prompts.number * answer_tokens(recipe),
    )
    return timed(step, recipe.teacher)


def answers_step(recipe: Recipe, prompts: Texts, parameters: float, machine: Machine) -> Step:
    """A model's free answers, here."""
    written = prompts.number * answer_tokens(recipe)
    seconds = machine.write_s(parameters, written)
    return Step("answers", f"{prompts.number} prompts", seconds=seconds)


def answer_tokens(recipe: Recipe) -> int:
    """Tokens of a free answer to one of the prompts that all models answer."""
    return min(ANSWER_TOKENS, recipe.answers.max_tokens)


def judge_step(recipe: Recipe, judge: JudgeSettings, prompts: Texts, pairs: int) -> Step:
    """A judge's comparisons of `pairs` of models, each prompt in both orders."""
    calls = 2 * prompts.number * pairs
    beside, answered = JUDGE_TOKENS[judge.protocol]
    asked = beside + 2 * answer_tokens(recipe) + prompts.tokens // max(1, prompts.number)
    step = Step(
        "judge",
        f"{judge.model}, {judge.protocol}: {calls} comparisons",
        calls=calls,
        input_tokens=calls * asked,
        output_tokens=calls * answered,
    )
    return timed(step, judge)


def timed(step: Step, asked: TeacherSettings) -> Step:
    """The step with whom it asks, and the seconds that takes."""
    each = CALL_S["world" if asked.base_url == "world" else "elsewhere"]
    step.asked = asked
    step.seconds = BATCH_S if step.batched else step.calls * each / asked.concurrency
    return step


def files_texts(run: Run) -> Texts:
    """The dialogues that are at hand; what the hub has is not fetched for a plan."""
    local = (run.data_file(name) for name in run.recipe.curate.files if not name.startswith(HUB))
    records = (record for file in local if file.exists() for record in read_file(file))
    return Texts.of(record.dialogue.turns for record in records if record.dialogue)


def prompt_texts(settings: CollectSettings) -> Texts:
    """The prompts that the teacher is asked, from where they are; none if it invents them."""
    if settings.local or settings.self_instruct:
        return Texts(0, 0)
    prompts = PromptFile(settings.prompts, settings.column, settings.n)
    return Texts.of(prompt.messages for prompt in prompts)


def answered_texts(path: Path, n: int) -> Texts:
    """The first `n` prompts of a file that all models answer."""
    return Texts.of(prompt.messages for prompt in read_prompts(path)[:n])


def item_texts(name: str, data: Path | None, limit: int | None) -> Texts:
    """The items of a benchmark, as a text model is shown them."""
    items = find_benchmark(name).items(data, limit)
    return Texts(len(items), sum(len(item.prompt) for item in items))
