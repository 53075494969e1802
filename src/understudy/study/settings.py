"""What a study may say: one YAML file with a recipe and the grid that it is run over."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from understudy.errors import UserError
from understudy.files import read_text
from understudy.recipe import Positive, Recipe, Settings, TrainSettings
from understudy.recipe_file import (
    apply_change,
    check_recipe,
    first_fault,
    read_mapping,
    settings_in,
)

Usd = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0)]


class BaseSettings(Settings):
    """One base of the grid."""

    base: str = Field(description="world:tiny|mini|small|medium, a model directory or a hub name")
    parameters: float | None = Field(
        None, gt=0, description="how many; null: counted from its configuration"
    )

    @property
    def name(self) -> str:
        """What folders and tables call it: `small`, `llama-7b`."""
        return self.base.rstrip("/").split(":")[-1].split("/")[-1]


class KindSettings(Settings):
    """One kind of imitation data: what it changes in the recipe."""

    task: list[str] = Field(
        [], description="benchmarks that a local kind imitates; none for a broad kind"
    )
    amounts: list[Positive] | None = Field(None, description="null: the study's")
    collect: dict[str, Any] | None = Field(None, description="instead of the recipe's collect")
    curate: dict[str, Any] = Field({}, description="over the recipe's curate, key by key")


class RuleSettings(Settings):
    """How much each student is trained: one rule for all cells, chosen on held-out loss alone."""

    candidates: list[dict[str, Any]] = Field(
        [{}], min_length=1, description="changes to the recipe's train, key by key"
    )
    base: str | None = Field(None, description="on which they are tried; null: the middle one")
    amount: Positive | None = Field(None, description="of each kind; null: the middle one")


class HardwareSettings(Settings):
    """What trains and evaluates, for times and costs that are not measured here."""

    name: str = "this machine"
    flops: float | None = Field(None, gt=0, description="sustained in training; null: measured")
    usd_per_hour: Usd = 0.0
    gpus_per_student: Positive = Field(
        1, description="above 1, a student is trained by as many processes of torchrun"
    )


class AdviceSettings(Settings):
    """Where one stands, and what may be spent next."""

    usd: float = Field(100.0, gt=0)
    base: str | None = Field(None, description="its name; null: the middle one")
    kind: str | None = Field(None, description="what has been bought; null: the first broad one")
    amount: Positive | None = Field(None, description="of that; null: the largest")


class StudySettings(Settings):
    """All of a study."""

    name: str = "study"
    run: dict[str, Any] = Field(description="a recipe without base, shared by all cells")
    bases: list[BaseSettings] = Field(min_length=1, description="from the smallest to the largest")
    kinds: dict[str, KindSettings] = Field(min_length=1)
    amounts: list[Positive] = Field(min_length=1, description="tokens, from least to most")
    seeds: list[Seed] = Field([0], min_length=1, description="of bases (the world's) and students")
    rule: RuleSettings = RuleSettings()
    hardware: HardwareSettings = HardwareSettings()
    advice: AdviceSettings = AdviceSettings()
    workers: Positive | None = Field(
        None,
        description="processes side by side; null: as GPUs, or cores for the world's bases, allow",
    )
    gallery: int = Field(12, ge=0, description="answers shown that are right in style alone")

    def amounts_of(self, kind: str) -> list[int]:
        """The amounts of one kind, in tokens, from least to most."""
        return self.kinds[kind].amounts or self.amounts

    @property
    def base_names(self) -> list[str]:
        return [base.name for base in self.bases]

    @property
    def broad(self) -> list[str]:
        """The kinds without a task of their own."""
        return [name for name, kind in self.kinds.items() if not kind.task]

    @property
    def local(self) -> list[str]:
        """The kinds with one."""
        return [name for name, kind in self.kinds.items() if kind.task]

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that every run of the study starts from, with the first base."""
        return self.recipe_of(next(iter(self.kinds)), self.bases[0].name)

    def recipe_of(self, kind: str, base: str) -> Recipe:
        """The recipe of a kind on a base; its train is not yet under the rule."""
        named = next(one for one in self.bases if one.name == base)
        chosen = self.kinds[kind]
        shared = Recipe.model_validate(self.run | {"name": self.name, "base": named.base})
        content = shared.model_dump()
        if chosen.collect is not None:
            content["collect"] = chosen.collect
        curate = content["curate"] | chosen.curate
        curate["mix"] = (curate["mix"] or {}) | {"tokens": self.amounts_of(kind)}
        return Recipe.model_validate(content | {"curate": curate})


def load_study(path: Path, changes: Sequence[str] = ()) -> StudySettings:
    """Read a study; `changes` are "a.b=value" texts that override it (value in YAML).

    Raises:
        UserError: the file is missing or not YAML, a key is unknown, a value is not allowed, or
            parts do not fit together; names the file and the key.
    """
    name = str(path)
    content = read_mapping(read_text(path), name)
    for change in changes:
        apply_change(content, change)
    bases = content.get("bases")
    if isinstance(bases, list):
        content["bases"] = [{"base": one} if isinstance(one, str) else one for one in bases]
    settings = settings_in(StudySettings, content, name)
    _check(name, settings)
    return settings


def as_yaml(settings: StudySettings) -> str:
    """The study with every default written out, the recipe's included."""
    content = settings.model_dump()
    shared = Recipe.model_validate(settings.run | {"base": settings.bases[0].base})
    content["run"] = shared.model_dump(exclude={"name", "base"})
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _check(name: str, settings: StudySettings) -> None:
    """Faults that only show when parts are read together."""
    for key in ("base", "name"):
        if key in settings.run:
            raise UserError(f"{name}: run.{key}: the study says it; remove it from run")
    for base in settings.base_names:
        if base in ("", ".", ".."):
            raise UserError(f"{name}: bases: {base!r} names a folder; name the base otherwise")
    if twice := [base for base, n in Counter(settings.base_names).items() if n > 1]:
        raise UserError(f"{name}: bases: two are called {twice[0]}; name different ones")
    if len(set(settings.seeds)) < len(settings.seeds):
        raise UserError(f"{name}: seeds: one is there twice; each seed is one repetition")
    parameters = max(map(_known_parameters, settings.bases))
    for kind in settings.kinds:
        if not kind.isidentifier():
            raise UserError(f"{name}: kinds: {kind!r} names folders; use letters, digits and _")
        amounts = settings.amounts_of(kind)
        if any(one >= other for one, other in pairwise(amounts)):
            raise UserError(f"{name}: amounts of {kind}: {amounts} do not rise; sort them")
        try:
            recipe = settings.recipe_of(kind, settings.bases[0].name)
        except ValidationError as error:
            raise UserError(f"{name}: run, kind {kind}: {first_fault(error, Recipe)}") from None
        check_recipe(f"{name}, kind {kind}", recipe)
        for number, candidate in enumerate(settings.rule.candidates):
            changed = {"train": recipe.train.model_dump() | candidate}
            content = recipe.model_dump() | changed
            train = settings_in(Recipe, content, f"{name}: rule.candidates").train
            try:
                _check_training(settings, train, parameters)
            except UserError as error:
                raise UserError(f"{name}: rule.candidates.{number}: {error}") from None
        if recipe.teacher is None:
            raise UserError(f"{name}: run.teacher is missing; a study measures the gap to it")
        if recipe.answers.prompts == "heldout":
            raise UserError(f"{name}: run.answers.prompts: all models answer the same; name a file")
        for task in settings.kinds[kind].task:
            if task not in recipe.evaluate.benchmarks:
                raise UserError(f"{name}: kinds.{kind}.task: {task} is not in evaluate.benchmarks")
    for place, chosen in (("rule", settings.rule.base), ("advice", settings.advice.base)):
        if chosen is not None and chosen not in settings.base_names:
            known = ", ".join(settings.base_names)
            raise UserError(f"{name}: {place}.base: no base is called {chosen}; there are {known}")
    if settings.advice.kind is not None and settings.advice.kind not in settings.kinds:
        known = ", ".join(settings.kinds)
        raise UserError(
            f"{name}: advice.kind: no kind is {settings.advice.kind}; there are {known}"
        )
    every = {amount for kind in settings.kinds for amount in settings.amounts_of(kind)}
    if settings.rule.amount is not None and settings.rule.amount not in every:
        raise UserError(f"{name}: rule.amount: no kind has {settings.rule.amount} tokens")


def _check_training(settings: StudySettings, train: TrainSettings, parameters: int) -> None:
    """What training would refuse on the largest base, of so many parameters."""
    # With torch, which takes seconds, and which a study's results are read without.
    from understudy.train.distil.objective import check_distil
    from understudy.train.optimizers import check_rate

    if train.distil:
        check_distil(train.distil, settings.hardware.gpus_per_student)
    check_rate(train, parameters)


def _known_parameters(base: BaseSettings) -> int:
    """How many parameters a base has; 0 where it is not at hand, or one of the world's."""
    return round(parameters_of(base)) if base.parameters or Path(base.base).is_dir() else 0


def parameters_of(base: BaseSettings) -> float:
    """How many parameters a base has.

    Raises:
        UserError: the study does not say, and there is no configuration at hand.
    """
    if base.parameters:
        return base.parameters
    if not base.base.startswith("world:") and not Path(base.base).is_dir():
        raise UserError(
            f"bases: {base.base} is not at hand; say how large it is: "
            f"{{base: {base.base}, parameters: 7.0e+9}}"
        )
    from understudy.plan.steps import count_of

    return count_of(base.base)
