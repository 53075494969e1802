"""How much a run's data, benchmarks and prompts are, as far as that is known before it begins.

What is at hand is counted. Of what is not, published numbers and the recipe itself tell enough for
a plan: nothing is fetched.
"""

from dataclasses import dataclass, field
from pathlib import Path

from understudy.errors import UserError
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.benchmarks.declaration import load_declaration
from understudy.plan.steps import (
    CHARACTERS_A_TOKEN,
    ITEM_TOKENS,
    Texts,
    answered_texts,
    files_texts,
    item_texts,
    prompt_texts,
)
from understudy.prompts import HUB
from understudy.run import Run

# Items in the files that the declarations name, as released: MMLU's test set (Hendrycks et al.
# 2021), NQ-open's development set (Lee et al. 2019), HumanEval (Chen et al. 2021), GSM8K's test set
# (Cobbe et al. 2021), ARC's test sets (Clark et al. 2018), HellaSwag's validation set (Zellers et
# al. 2019), TruthfulQA (Lin et al. 2021), TriviaQA's web and Wikipedia development sets (Joshi et
# al. 2017), RealToxicityPrompts (Gehman et al. 2020), Self-Instruct's user-oriented tasks (Wang
# et al. 2022).
PUBLISHED = {
    "mmlu": 14_042,
    "nq": 3_610,
    "humaneval": 164,
    "gsm8k": 1_319,
    "arc_easy": 2_376,
    "arc_challenge": 1_172,
    "hellaswag": 10_042,
    "truthfulqa_mc1": 817,
    "truthfulqa_mc2": 817,
    "triviaqa": 17_944,
    "realtoxicity": 99_442,
    "truth": 252,
}

DIALOGUE_TOKENS = 400  # of a dialogue that is not at hand


@dataclass
class AtHand:
    """Counts what there is; `notes` tell a person what is not at hand."""

    notes: list[str] = field(default_factory=list)

    def files(self, run: Run) -> Texts:
        """The dialogues of `curate.files`, as many as the recipe says if any is not at hand.

        Raises:
            UserError: a file is missing, and the recipe does not say.
        """
        told, files = run.recipe.plan, run.recipe.curate.files
        missing = [name for name in files if not is_at_hand(name, run)]
        if not missing or told is None:
            return files_texts(run)
        if told.dialogues is None:
            raise UserError(
                f"{missing[0]}: not at hand; say in plan.dialogues how many curate.files hold"
            )
        tokens = told.tokens or told.dialogues * DIALOGUE_TOKENS
        self.notes.append(
            f"{', '.join(missing)}: not at hand; {told.dialogues:,} dialogues of {tokens:,} "
            "tokens, as the recipe says"
        )
        return Texts(told.dialogues, tokens * CHARACTERS_A_TOKEN)

    def items(self, run: Run) -> dict[str, Texts]:
        """The items of a run's benchmarks, by their names in the recipe.

        Raises:
            UserError: a benchmark of the user's own is not at hand, or files are at fault.
        """
        settings = run.recipe.evaluate
        named = Path(settings.data) if settings.data else None
        data = run.benchmarks_folder() if settings.data == "world" else named
        there = data if data and data.is_dir() else None
        found, unseen = {}, []
        for name in settings.benchmarks:
            if there or _own_files(name):
                found[name] = item_texts(name, there, settings.limit)
            else:
                found[name] = _published(name, settings.limit)
                unseen.append(name)
        if unseen:
            self.notes.append(f"{', '.join(unseen)}: no files at hand; as many items as published")
        return found

    def asked(self, run: Run) -> Texts:
        """The prompts that the teacher is asked to make an imitation set."""
        if run.recipe.collect is None:
            return Texts(0, 0)
        settings = run.collect_settings(run.recipe.collect)
        if settings.local or settings.self_instruct or Path(settings.prompts).exists():
            return prompt_texts(settings)
        return self._unseen(settings.prompts, settings.n)

    def answered(self, run: Run) -> Texts:
        """The prompts that all models answer."""
        settings = run.recipe.answers
        path = run.data_file(settings.prompts)
        if path.exists():
            return answered_texts(path, settings.n)
        return self._unseen(settings.prompts, settings.n)

    def _unseen(self, source: str, number: int) -> Texts:
        self.notes.append(f"{source}: not at hand; {number:,} prompts of usual length")
        return Texts.unseen(number)


def is_at_hand(name: str, run: Run) -> bool:
    """Whether a data set that a recipe names can be counted without fetching anything."""
    return not name.startswith(HUB) and run.data_file(name).exists()


def _own_files(name: str) -> bool:
    """Whether a benchmark is the user's own and has its files beside its declaration."""
    return name not in PUBLISHED and bool(load_declaration(Path(name)).files)


def _published(name: str, limit: int | None) -> Texts:
    benchmark = find_benchmark(name)
    number = PUBLISHED.get(name, limit)
    if number is None:
        raise UserError(f"{name}: its items are not at hand; set evaluate.limit for a plan")
    number = min(number, limit or number)
    asked = ITEM_TOKENS[benchmark.kind][0] * (1 + benchmark.shots)
    return Texts(number, number * asked * CHARACTERS_A_TOKEN)
