"""What the stages of a run share: its world, base, teacher and judges, ledger and files.

Each is had when the first stage needs it: a base is pretrained, a teacher reached.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from understudy.collect.follow_ups import TEACHER
from understudy.errors import UserError
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.engines import Engine
from understudy.evaluate.engines.api import ApiEngine
from understudy.evaluate.engines.opened import open_model
from understudy.evaluate.score import item_digest
from understudy.files import digest, file_digest
from understudy.progress import say
from understudy.recipe import Recipe, TeacherSettings
from understudy.teacher.client import Account, Teacher, teacher_at, teacher_of
from understudy.train.stage import train
from understudy.world.bases import base_dir, cache_root
from understudy.world.encyclopedia import World
from understudy.world.files import file_name
from understudy.world.server import running_teacher

# Of a teacher's settings, those that change how it is reached and nothing that it says.
UNSEEN = {"api_key_env", "ways", "tokenizer", "concurrency", "timeout_s", "retries"}


@dataclass
class Parts:
    """What a recipe's stages in a folder share.

    Attributes:
        recipe: what is to be done.
        out: the folder.
        resources: closes what is opened on the way.
        places: folders of stages that runs have in common and that lie elsewhere than in `out`, by
            their path there ("world", "evaluate/base").
        server: the world's server, where somebody else has started it.
        trainer: trains a student, as `train` does.
    """

    recipe: Recipe
    out: Path
    resources: ExitStack
    places: Mapping[str, Path] = field(default_factory=dict)
    server: Teacher | None = None
    trainer: Callable[..., dict[str, Any]] = train

    def folder(self, stage: str) -> Path:
        """The folder of a stage, by its path in a run."""
        return self.places.get(stage, self.out / stage)

    @property
    def models(self) -> tuple[str, ...]:
        """Whom the benchmarks are put to: the teacher only where it can be asked."""
        return ("base", "student", "teacher") if self.recipe.teacher else ("base", "student")

    @property
    def checked(self) -> list[str]:
        """The benchmarks that the imitation set is checked against."""
        named = self.recipe.curate.contamination.benchmarks
        return self.recipe.evaluate.benchmarks if named is None else named

    def own_among(self, benchmarks: list[str]) -> dict[str, str]:
        """The user's own among benchmarks, by the names of their files, and digests of them."""
        return {name: self.own[name] for name in benchmarks if name in self.own}

    @cached_property
    def own(self) -> dict[str, str]:
        """Digests of all the user's own benchmarks, which lie outside of the data folder."""
        found = {}
        for name in {*self.recipe.evaluate.benchmarks, *self.checked}:
            if Path(name).suffix in (".yaml", ".yml"):
                items = find_benchmark(name).items(None, None)
                found[name] = digest([file_digest(Path(name)), *map(item_digest, items)])
        return found

    @property
    def uses_world(self) -> bool:
        """Whether any part of the recipe refers to the embedded world."""
        recipe = self.recipe
        parts = [recipe.evaluate.data or "", recipe.answers.prompts]
        parts += [asked.base_url for asked in recipe.asked]
        parts += [*self.collect_files(), *recipe.curate.files]
        return any(part.split(":")[0] == "world" for part in parts)

    def collect_files(self) -> list[str]:
        """What the collect stage reads, by the recipe's names."""
        settings = self.recipe.collect
        if settings is None:
            return []
        if settings.local:
            return [settings.local.examples]
        if settings.self_instruct:
            files = [settings.self_instruct.seeds] if settings.self_instruct.seeds else []
        else:
            files = [settings.prompts]
        scripted = settings.follow_ups not in (None, TEACHER)
        return [*files, settings.follow_ups] if scripted and settings.follow_ups else files

    @cached_property
    def world(self) -> World:
        return World.of(self.recipe.world)

    @cached_property
    def base(self) -> str:
        """The base's directory or hub name; a world's base is pretrained if it is not cached."""
        kind, _, size = self.recipe.base.partition(":")
        if kind != "world":
            return self.recipe.base
        words = self.recipe.world.text_tokens
        return str(base_dir(self.world, size, cache_root(), words, self.base_seed))

    @property
    def base_seed(self) -> int:
        """The seed of a world's base: the world's, unless it is said."""
        world = self.recipe.world
        return world.seed if world.base_seed is None else world.base_seed

    @cached_property
    def account(self) -> Account:
        """The recipe's teacher, and how its answers are paid for."""
        assert self.recipe.teacher is not None
        return self.account_of(self.recipe.teacher)

    def account_of(self, settings: TeacherSettings) -> Account:
        """A teacher or judge, reached when the first stage needs it, with the run's ledger."""
        recipe = self.recipe
        if settings.base_url != "world":
            return Account(teacher_of(settings), self.ledger, recipe.name, recipe.budget)
        teacher = teacher_at(settings, self.world_server.identity, *self.world_server.endpoints)
        return Account(teacher, self.ledger, recipe.name, recipe.budget)

    @cached_property
    def world_server(self) -> Teacher:
        """The embedded teacher's server, started; judges ask it under other models' names."""
        if self.server:
            return self.server
        say("  starting the world's teacher")
        log = self.out / "teacher.jsonl"
        started = running_teacher(self.recipe.world, TeacherSettings(), log)
        return self.resources.enter_context(started)

    @property
    def ledger(self) -> str | Path:
        return self.recipe.ledger or self.out / "ledger.sqlite"

    def asked_of(self, settings: TeacherSettings) -> dict[str, Any]:
        """What of a teacher's or judge's settings the outputs depend on."""
        asked = settings.model_dump(exclude=UNSEEN)
        return asked | ({"world": self.world.identity} if settings.base_url == "world" else {})

    def base_key(self) -> tuple[dict[str, Any], dict[str, Path]]:
        """The base as a stage's settings and inputs: a folder by content, a hub name by name."""
        folder = Path(self.base)
        return ({}, {"base": folder}) if folder.is_dir() else ({"base": self.base}, {})

    @property
    def answers_files(self) -> dict[str, Path]:
        """Where every model's free answers are."""
        models = ("teacher", "base", "student")
        return {who: self.folder(f"answers/{who}") / "answers.jsonl" for who in models}

    def data_file(self, name: str) -> Path:
        """The file of prompts, or of data, that a recipe names, `hub:` names apart."""
        kind, _, rest = name.partition(":")
        return self.folder("world") / file_name(rest) if kind == "world" else Path(name)

    def benchmarks_folder(self) -> Path | None:
        """The folder of the benchmarks' files; None takes the hub's copies."""
        named = self.recipe.evaluate.data
        if named == "world":
            return self.folder("world") / "benchmarks"
        if named and not Path(named).is_dir():
            raise UserError(f"evaluate.data: {named} is no folder; name one with published files")
        return Path(named) if named else None

    def engine(self, who: str) -> Engine:
        if who == "teacher":
            return ApiEngine(self.account, self.recipe.evaluate.top_logprobs)
        model = self.base if who == "base" else str(self.folder("train") / "model")
        return open_model(model, self.recipe.evaluate)

    def model_key(self, who: str) -> tuple[dict[str, Any], dict[str, Path]]:
        if who == "base":
            return self.base_key()
        if who == "student":
            return {}, {"student": self.folder("train") / "model"}
        assert self.recipe.teacher is not None
        return {"teacher": self.asked_of(self.recipe.teacher)}, {}
