"""What a study does, in its folder: sets and models that its students share, and each student.

    data/KIND/{world,collect,curate}    imitation sets, one a kind, their amounts nested; world: the
                                        embedded world's files, if it is used
    bases/BASE-sSEED/{evaluate,answers,judge,probe}    without the seed where all share one base
    teacher/{evaluate,answers}
    pilots/KIND/candidate-N/{train,evaluate}
    cells/KIND/BASE/AMOUNT/seed-SEED/{train,evaluate,answers,style,judge}

All are stages of runs (see `run.Run`), some of which lie in folders that runs have in common.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from understudy.gather import base_of
from understudy.manifest import Stage
from understudy.recipe import KnowledgeSettings, Recipe
from understudy.run import Run
from understudy.study.grid import Cell, cells, middle
from understudy.study.knowledge import probe_base
from understudy.study.settings import StudySettings
from understudy.study.several_gpus import check_gpus, train_together
from understudy.teacher.wire import Teacher
from understudy.train.stage import train

Candidate = Mapping[str, Any]


@dataclass
class Job:
    """A study in a folder.

    Attributes:
        settings: the study's.
        out: its folder.
        resources: closes what is opened on the way.
        server: the world's server, where it is started already.
    """

    settings: StudySettings
    out: Path
    resources: ExitStack
    server: Teacher | None = None

    def check(self) -> None:
        """Find the mistakes that can be found before anything is asked, trained or written.

        Raises:
            UserError: see `Run.check`; or a student is to have more GPUs than there are.
        """
        check_gpus(self.settings.hardware.gpus_per_student)
        for kind in self.settings.kinds:
            self.data_run(kind).check()

    def start_world(self) -> None:
        """Start the world's server, if the study needs it, for every run and worker."""
        run = self.data_run(self._any_kind)
        if self.server is None and any(asked.base_url == "world" for asked in run.recipe.asked):
            self.server = run.world_server

    # Runs, and where what they share lies

    def data_run(self, kind: str) -> Run:
        """The run whose collect and curate make a kind's imitation set."""
        places = {stage: self.data(kind, stage) for stage in ("world", "collect", "curate")}
        recipe = self._recipe(kind, self.settings.bases[0].name, self.settings.seeds[0])
        return self._run(recipe, places)

    def base_run(self, base: str, seed: int) -> Run:
        """The run in which a base is measured."""
        recipe = self._measuring(self._recipe(self._any_kind, base, seed))
        own = {"judge": self.base_folder(base, seed) / "judge"}
        return self._run(recipe, self._base_places(base, seed) | own)

    def pilot_run(self, kind: str, number: int) -> Run:
        """The run in which a candidate for the rule is tried."""
        base, amount = self.pilot_base, self.pilot_amount(kind)
        folder = self.out / "pilots" / kind / f"candidate-{number}"
        seed = self.settings.seeds[0]
        candidate = self.settings.rule.candidates[number]
        return self._student_run(Cell(kind, base, amount, seed), candidate, folder)

    def cell_run(self, cell: Cell, rule: Candidate) -> Run:
        """The run of one student, trained under the rule."""
        return self._student_run(cell, rule, self.out / cell.folder)

    def data(self, kind: str, stage: str) -> Path:
        return self.out / "data" / kind / stage

    def base_folder(self, base: str, seed: int) -> Path:
        """Where a base is measured; only the world's differ by seed."""
        named = next(one.base for one in self.settings.bases if one.name == base)
        mark = f"-s{seed}" if named.startswith("world:") else ""
        return self.out / "bases" / f"{base}{mark}"

    @property
    def bases(self) -> dict[tuple[str, int], Path]:
        """The folder of every base, by its name and seed."""
        names, seeds = self.settings.base_names, self.settings.seeds
        return {(name, seed): self.base_folder(name, seed) for name in names for seed in seeds}

    @property
    def teacher_folder(self) -> Path:
        return self.out / "teacher"

    @property
    def pilot_base(self) -> str:
        """The base on which candidates are tried."""
        return self.settings.rule.base or middle(self.settings.base_names)

    def pilot_amount(self, kind: str) -> int:
        """The amount of a kind on which candidates are tried."""
        amounts = self.settings.amounts_of(kind)
        wanted = self.settings.rule.amount
        return wanted if wanted in amounts else middle(amounts)

    def measured_folders(self) -> Iterator[tuple[str, Path]]:
        """The folders of all that was measured, by a name."""
        for part in ("evaluate/items", "answers/answers.jsonl"):
            yield f"teacher {part}", self.teacher_folder / part
        measured = ["evaluate/items", "answers/answers.jsonl"]
        measured += ["judge/preferences.jsonl"] if self.settings.recipe.judges else []
        for (base, seed), folder in self.bases.items():
            for part in (*measured, "probe/knowledge.jsonl"):
                yield f"base {base} {seed} {part}", folder / part
        for cell in cells(self.settings):
            for part in ("train/log.jsonl", *measured):
                yield f"{cell} {part}", self.out / cell.folder / part

    # Stages, in the order in which they need one another

    def shared_stages(self) -> Iterator[Stage]:
        """The world, the imitation sets, and what the teacher says; each is made when reached."""
        teacher = self.base_run(self.settings.bases[0].name, self.settings.seeds[0])
        for kind in self.settings.kinds:
            run = self.data_run(kind)
            if run.uses_world:
                yield run.world_stage()
            if run.recipe.collect:
                yield run.collect_stage()
            yield run.curate_stage()
        yield teacher.evaluate_stage("teacher")
        yield teacher.answers_stage("teacher")

    def base_stages(self, base: str, seed: int) -> Iterator[Stage]:
        """A base measured: on benchmarks, by its answers, by judges, and by what it knows."""
        run = self.base_run(base, seed)
        yield run.evaluate_stage("base")
        yield run.answers_stage("base")
        if run.recipe.judges:
            yield run.judge_stage(("base", "teacher"))
        yield self._probe_stage(run)

    def pilot_stages(self, kind: str, number: int) -> Iterator[Stage]:
        """A candidate for the rule: trained, and measured only so that one can see what it did."""
        run = self.pilot_run(kind, number)
        yield run.train_stage()
        yield run.evaluate_stage("student")

    def cell_stages(self, cell: Cell, rule: Candidate) -> Iterator[Stage]:
        """One student, from its training to what the judges say of it."""
        run = self.cell_run(cell, rule)
        yield run.train_stage()
        yield run.evaluate_stage("student")
        yield run.answers_stage("student")
        yield run.style_stage()
        if run.recipe.judges:
            yield run.judge_stage(("student", "teacher"))

    # How they are made

    def _student_run(self, cell: Cell, rule: Candidate, folder: Path) -> Run:
        recipe = self._recipe(cell.kind, cell.base, cell.seed)
        changed = {**recipe.train.model_dump(), **rule, "tokens": cell.amount, "seed": cell.seed}
        recipe = self._measuring(Recipe.model_validate(recipe.model_dump() | {"train": changed}))
        own = {
            "train": folder / "train",
            "evaluate/student": folder / "evaluate",
            "answers/student": folder / "answers",
            "style": folder / "style",
            "judge": folder / "judge",
        }
        curated = {"curate": self.data(cell.kind, "curate")}
        return self._run(recipe, self._base_places(cell.base, cell.seed) | curated | own)

    def _base_places(self, base: str, seed: int) -> dict[str, Path]:
        return {
            "evaluate/base": self.base_folder(base, seed) / "evaluate",
            "answers/base": self.base_folder(base, seed) / "answers",
            "evaluate/teacher": self.teacher_folder / "evaluate",
            "answers/teacher": self.teacher_folder / "answers",
            "world": self.data(self._any_kind, "world"),
        }

    def _recipe(self, kind: str, base: str, seed: int) -> Recipe:
        """The recipe of a kind on a base, whose own seed is the first in all runs.

        So the sets, and what is drawn of benchmarks and answers, are the same for all students.
        """
        recipe = self.settings.recipe_of(kind, base)
        world = recipe.world.model_copy(update={"base_seed": seed})
        ledger = recipe.ledger or str(self.out / "ledger.sqlite")
        return recipe.model_copy(update={"world": world, "ledger": ledger})

    def _run(self, recipe: Recipe, places: Mapping[str, Path]) -> Run:
        gpus = self.settings.hardware.gpus_per_student
        trainer = partial(train_together, gpus) if gpus > 1 else train
        return Run(recipe, self.out, self.resources, places, self.server, trainer)

    @staticmethod
    def _measuring(recipe: Recipe) -> Recipe:
        """The recipe where no set's own findings decide which items are scored.

        A set's card says what of it touches a benchmark; a score means the same for all models.
        """
        checked = recipe.curate.contamination.model_copy(update={"action": "drop"})
        curate = recipe.curate.model_copy(update={"contamination": checked})
        return recipe.model_copy(update={"curate": curate})

    @property
    def _any_kind(self) -> str:
        return next(iter(self.settings.kinds))

    def _probe_stage(self, run: Run) -> Stage:
        folder = run.folder("answers/base").parent / "probe"
        answers, seed = run.answers_files["teacher"], run.recipe.seed
        key, inputs = run.base_key()

        def work() -> dict[str, Any]:
            complete = base_of(KnowledgeSettings(base=run.base))
            assert complete is not None
            return probe_base(answers, complete, folder, seed)

        inputs = inputs | {"answers": answers}
        return Stage("probe", folder, key | {"seed": seed}, inputs, work, ("knowledge.jsonl",))
