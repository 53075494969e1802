"""A run: the stages of a recipe in order, each resumed or skipped by its manifest.

RUN/world, collect, curate, train, evaluate/{base,student,teacher},
answers/{base,student,teacher}, style, judge; then RUN/report.html and RUN/report.json beside the
run's own manifest, which closes it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from understudy.collect.dialogues import PromptFile
from understudy.collect.stage import collect
from understudy.curate.stage import curate
from understudy.dialogue import read_dialogues
from understudy.errors import UserError
from understudy.evaluate.answers import answer, recorded
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.contamination import read_touched
from understudy.evaluate.stage import evaluate
from understudy.files import write_text
from understudy.gather import alone_in, base_of, benchmark_items, follow_ups_of, held_items
from understudy.judge.judges import check_judges
from understudy.judge.stage import judge_run
from understudy.manifest import Stage, is_complete, run_stage
from understudy.models import load_tokenizer
from understudy.parts import Parts
from understudy.progress import say
from understudy.prompts import HUB, Prompt, read_prompts
from understudy.recipe import CollectSettings, CurateSettings, Recipe
from understudy.report.stage import report
from understudy.style.stage import style
from understudy.teacher.client import teacher_of
from understudy.train.stage import HARMLESS
from understudy.world.benchmarks import write_benchmarks
from understudy.world.files import EXAMPLES, file_name, of_world, write_file
from understudy.world.openai import MODELS
from understudy.world.published import SETS

OF_ITSELF = ("world:", HUB)  # sources that are no files
EXAMPLE_PAIRS = 10  # of the world, as many as NQ-synthetic began with
STAGES = ("world", "collect", "curate", "train", "evaluate", "answers", "style", "judge", "report")
EVERYBODY = ("base", "student", "teacher")


@dataclass
class Run(Parts):
    """What a recipe means in a folder: its stages, in order."""

    def stages(self, until: str | None = None) -> Iterator[Stage]:
        """The stages in order, up to those of one name.

        Each is made when it is reached, after those before: its key depends on what they wrote, and
        the base is pretrained for the first stage that needs it.
        """
        for name in STAGES:
            for make in self._makers(name):
                yield make()
            if name == until:
                return

    def _makers(self, name: str) -> list[Callable[[], Stage]]:
        """What makes the stages of one name."""
        makers: dict[str, list[Callable[[], Stage]]] = {
            "world": [self.world_stage] if self.uses_world else [],
            "collect": [self.collect_stage] if self.recipe.collect else [],
            "curate": [self.curate_stage],
            "train": [self.train_stage],
            "evaluate": [partial(self.evaluate_stage, who) for who in self.models],
            "answers": [partial(self.answers_stage, who) for who in EVERYBODY],
            "style": [self.style_stage],
            "judge": [self.judge_stage] if self.recipe.judges else [],
            "report": [self.report_stage],
        }
        return makers[name]

    def check(self) -> None:
        """Find the mistakes that can be found before anything is asked, trained or written.

        Raises:
            UserError: a file or folder that the recipe names is missing, a benchmark or a model
                of the world is unknown, judges cannot be told apart, or a key is not set.
        """
        recipe = self.recipe
        self.check_names()
        self.benchmarks_folder()
        named = [*recipe.curate.files, *self.collect_files(), recipe.answers.prompts]
        named += filter(None, [recipe.evaluate.exclude, recipe.evaluate.contamination])
        for file in named:
            if file != "heldout" and not file.startswith(OF_ITSELF) and not Path(file).exists():
                raise UserError(f"{file}: no such file; check the path in the recipe")
        for asked in recipe.asked:
            if asked.base_url != "world":
                teacher_of(asked)
        if not recipe.base.startswith("world:"):
            load_tokenizer(recipe.base)

    def check_names(self) -> None:
        """The mistakes of these that can be found with neither files nor keys nor weights at hand.

        Raises:
            UserError: as `check`.
        """
        recipe = self.recipe
        for name in {*recipe.evaluate.benchmarks, *self.checked}:
            find_benchmark(name)
        for name in of_world(recipe.curate.files):
            if name not in SETS:
                known = ", ".join(f"world:{one}" for one in SETS)
                raise UserError(f"curate.files: world:{name}: there is none; choose from {known}")
        for name in of_world([*self.collect_files(), recipe.answers.prompts]):
            if name in SETS:
                raise UserError(
                    f"world:{name}: conversations, no prompts; name it under curate.files"
                )
        check_judges(recipe.judges)
        for asked in recipe.asked:
            if asked.base_url == "world" and asked.model not in MODELS:
                known = ", ".join(MODELS)
                raise UserError(f"{asked.model}: the world has no such model; choose from {known}")

    # The stages

    def world_stage(self) -> Stage:
        recipe, folder = self.recipe, self.folder("world")
        count = recipe.collect.n if recipe.collect else 0
        kinds = of_world(self.collect_files())
        wanted = {kind: EXAMPLE_PAIRS if kind == EXAMPLES else count for kind in kinds}
        wanted |= dict.fromkeys(of_world([recipe.answers.prompts]), recipe.answers.n)
        wanted |= dict.fromkeys(of_world(recipe.curate.files), recipe.world.records)
        files = {kind: file_name(kind) for kind in wanted}

        def work() -> dict[str, Any]:
            write_benchmarks(self.world, folder / "benchmarks")
            for kind, count in wanted.items():
                write_file(self.world, kind, count, folder / files[kind], recipe.seed)
            return {"people": recipe.world.people}

        settings = {"world": self.world.identity, "seed": recipe.seed, "prompts": wanted}
        outputs = ("benchmarks", *files.values())
        return Stage("world", folder, settings, {}, work, outputs)

    def collect_stage(self) -> Stage:
        settings, folder, seed = self.recipe.collect, self.folder("collect"), self.recipe.seed
        teacher = self.recipe.teacher
        assert settings is not None
        assert teacher is not None
        placed, prompts = self.collect_settings(settings), None
        if not (settings.local or settings.self_instruct):
            prompts = PromptFile(placed.prompts, placed.column, placed.n)

        def work() -> dict[str, Any]:
            benchmarks = self.recipe.evaluate.benchmarks
            held = held_items(benchmarks, data) if settings.local else None
            follow_ups = follow_ups_of(settings.follow_ups, seed)
            return collect(placed, prompts, self.account, folder, seed, held, follow_ups)

        data = self.benchmarks_folder()
        key = {"collect": settings.model_dump(), "teacher": self.asked_of(teacher), "seed": seed}
        key |= self.own_among(self.recipe.evaluate.benchmarks) if settings.local else {}
        files = [name for name in self.collect_files() if not name.startswith("hub:")]
        inputs = {name: self.data_file(name) for name in files}
        inputs |= {"benchmarks": data} if settings.local and data else {}
        return Stage("collect", folder, key, inputs, work, ("dialogues.jsonl",))

    def collect_settings(self, settings: CollectSettings) -> CollectSettings:
        """The settings with paths in place of the world's names."""

        def placed(name: str) -> str:
            return str(self.data_file(name)) if name.startswith("world:") else name

        local = settings.local
        local = local and local.model_copy(update={"examples": placed(local.examples)})
        return settings.model_copy(update={"prompts": placed(settings.prompts), "local": local})

    def curate_stage(self) -> Stage:
        settings, folder, seed = self.curate_settings(), self.folder("curate"), self.recipe.seed
        own = [str(self.folder("collect") / "dialogues.jsonl")] if self.recipe.collect else []
        shared = [n if n.startswith(HUB) else str(self.data_file(n)) for n in settings.files]
        files = [*own, *shared]
        named, files_checked = self.checked, settings.contamination.files
        data = self.benchmarks_folder()

        def work() -> dict[str, Any]:
            items = benchmark_items(named, data, files_checked)
            complete = base_of(settings.knowledge)
            return curate(files, settings, folder, seed, items, complete)

        unplaced = self.recipe.curate.model_dump()
        base, inputs = self.base_key() if self.curation_needs_base else ({}, {})
        key = {
            "curate": unplaced,
            "benchmarks": named,
            "seed": seed,
            **base,
            **self.own_among(named),
        }
        local = [file for file in files if not file.startswith(HUB)]
        inputs |= {f"file {number}": Path(file) for number, file in enumerate(local)}
        inputs |= {name: Path(name) for name in files_checked}
        inputs |= {"benchmarks": data} if named and data else {}
        outputs = ("train.jsonl", "heldout.jsonl", "dropped.jsonl", "card.json", "card.md")
        return Stage("curate", folder, key, inputs, work, outputs)

    @property
    def curation_needs_base(self) -> bool:
        """Whether the curate stage counts with the base's tokenizer or probes the base."""
        settings = self.recipe.curate
        counts = bool(settings.context or settings.mix) and not settings.tokenizer
        return counts or bool(settings.knowledge and not settings.knowledge.base)

    def curate_settings(self) -> CurateSettings:
        """The settings with the base where they leave the tokenizer or the probed base to it."""
        settings = self.recipe.curate
        if not self.curation_needs_base:
            return settings
        knowledge = settings.knowledge
        knowledge = knowledge and knowledge.model_copy(update={"base": knowledge.base or self.base})
        tokenizer = settings.tokenizer or self.base
        return settings.model_copy(update={"tokenizer": tokenizer, "knowledge": knowledge})

    def train_stage(self) -> Stage:
        settings, folder = self.recipe.train, self.folder("train")
        seed = self.recipe.seed if settings.seed is None else settings.seed
        base, inputs = self.base_key()
        data, heldout = self.train_file(), self.folder("curate") / "heldout.jsonl"

        def work() -> dict[str, Any]:
            return self.trainer(self.base, data, heldout, settings, folder, seed, str(self.ledger))

        key = {"train": settings.model_dump(exclude=HARMLESS), "seed": seed, **base}
        inputs = inputs | {"train": data, "heldout": heldout}
        return Stage("train", folder, key, inputs, work, ("model", "log.jsonl"))

    def train_file(self) -> Path:
        """The imitation set, or its subset of as many tokens as train asks for."""
        tokens, mix = self.recipe.train.tokens, self.recipe.curate.mix
        whole = tokens is None or mix is None or tokens == max(mix.tokens)
        return self.folder("curate") / ("train.jsonl" if whole else f"train-{tokens}.jsonl")

    def evaluate_stage(self, who: str) -> Stage:
        settings, seed = self.recipe.evaluate, self.recipe.seed
        folder, data = self.folder(f"evaluate/{who}"), self.benchmarks_folder()
        checked = sorted(find_benchmark(name).name for name in self.checked)
        key = {"evaluate": settings.model_dump(), "checked": checked, "seed": seed}
        key |= self.own_among(settings.benchmarks)
        model, inputs = self.model_key(who)
        inputs = inputs | ({"data": data} if data else {})
        found = self.folder("curate") / "contamination.jsonl"
        action = self.recipe.curate.contamination.action
        if action == "exclude" and checked and not settings.exclude:
            settings = settings.model_copy(update={"exclude": str(found)})
        for part in ("exclude", "contamination"):
            if path := getattr(settings, part):
                inputs[part] = Path(path)
        reported = action == "report" and bool(checked)
        inputs |= {"touched": found} if reported else {}

        def work() -> dict[str, Any]:
            # Otherwise what touched an item was dropped, or the item is.
            hits = read_touched(found) if reported else {}
            touched = {name: hits.get(name, ()) for name in checked}
            engine = self.engine(who)
            return evaluate(engine, settings, data, folder, seed, self.ledger, touched)

        outputs = ("scores.json", "items")
        return Stage(f"evaluate {who}", folder, key | model, inputs, work, outputs)

    def answers_stage(self, who: str) -> Stage:
        recipe, folder = self.recipe, self.folder(f"answers/{who}")
        settings, seed = recipe.answers, recipe.seed
        heldout = settings.prompts == "heldout"
        source = (
            self.folder("curate") / "heldout.jsonl" if heldout else self.data_file(settings.prompts)
        )
        from_record = who == "teacher" and not recipe.teacher

        def work() -> dict[str, Any]:
            if from_record:
                return recorded(list(read_dialogues(source))[: settings.n], folder)
            prompts = _heldout_prompts(source) if heldout else read_prompts(source)
            samples = 2 if who == "teacher" else 1
            return answer(self.engine(who), prompts[: settings.n], settings, folder, samples, seed)

        model, inputs = ({}, {}) if from_record else self.model_key(who)
        key = {"answers": settings.model_dump(), "seed": seed, **model}
        inputs = inputs | {"prompts": source}
        return Stage(f"answers {who}", folder, key, inputs, work, ("answers.jsonl",))

    def style_stage(self) -> Stage:
        folder, seed, files = self.folder("style"), self.recipe.seed, self.answers_files

        def work() -> dict[str, Any]:
            return style(files, folder, seed)

        return Stage("style", folder, {"seed": seed}, dict(files), work, ("style.json",))

    def judge_stage(self, models: Sequence[str] = EVERYBODY) -> Stage:
        """What the judges say of these models."""
        recipe, folder = self.recipe, self.folder("judge")
        files = {who: file for who, file in self.answers_files.items() if who in models}
        named = {"base": recipe.base} | (
            {"teacher": recipe.teacher.model} if recipe.teacher else {}
        )

        def work() -> dict[str, Any]:
            found = judge_run(files, recipe.judges, self.account_of, folder, recipe.seed, named)
            return {"prompts": found["prompts"], "cost": found["cost"]}

        judges = [self.asked_of(settings) for settings in recipe.judges]
        key = {"judges": judges, "seed": recipe.seed, "called": named}
        outputs = ("judgements.jsonl", "preferences.jsonl", "judge.json")
        return Stage("judge", folder, key, dict(files), work, outputs)

    def report_stage(self) -> Stage:
        recipe = self.recipe

        def work() -> dict[str, Any]:
            return report(self.out, recipe, self.out, recipe.seed)

        inputs = {"style": self.out / "style", "card": self.out / "curate" / "card.json"}
        inputs |= {f"scores {who}": self.out / "evaluate" / who for who in self.models}
        inputs |= {"answers": self.out / "answers", "log": self.out / "train" / "log.jsonl"}
        inputs |= {"judge": self.out / "judge"} if recipe.judges else {}
        panel = self.out / "panel" / "preferences.jsonl"  # if people have rated
        inputs |= {"panel": panel} if panel.exists() else {}
        key = {"report": recipe.report.model_dump(), "seed": recipe.seed}
        outputs = ("report.html", "report.json")
        return Stage("report", self.out, key, inputs, work, outputs, owns_folder=False)


def run(recipe: Recipe, out: Path, until: str | None = None) -> Path:
    """Take a recipe through its stages in `out`; returns the folder.

    Stages that are complete are skipped, one that was interrupted is continued.

    Args:
        recipe: what to do.
        out: the run's folder, made if it is missing; one process at a time may work in it.
        until: the last stage to run, of STAGES; None runs all.

    Raises:
        UserError: a mistake in the recipe or its files, or another process works in `out`.
    """
    if until is not None and until not in STAGES:
        raise UserError(f"--until {until}: no such stage; choose from {', '.join(STAGES)}")
    with alone_in(out), ExitStack() as resources:
        job = Run(recipe, out, resources)
        job.check()
        write_text(out / "recipe.yaml", as_yaml(recipe))
        for stage in job.stages(until):
            _run_and_say(stage)
    return out


def as_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def _run_and_say(stage: Stage) -> None:
    if is_complete(stage):
        say(f"✓ {stage.name}: done already")
        return
    say(f"• {stage.name}")
    manifest, _ = run_stage(stage)
    say(f"✓ {stage.name}: {manifest['wall_s']:.1f} s")


def _heldout_prompts(path: Path) -> list[Prompt]:
    """The held-out dialogues up to their last answer, as prompts."""
    found = []
    for dialogue in read_dialogues(path):
        last = max(i for i, turn in enumerate(dialogue.turns) if turn.role == "assistant")
        found.append(Prompt(id=dialogue.id, messages=dialogue.turns[:last]))
    return found
