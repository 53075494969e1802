"""Whether a teacher's log-probabilities teach more than its text alone, at equal data.

The world's teacher answers broad prompts at temperature 1 and names its 20 likeliest tokens at each
place. Students of one base train on the same dialogues with the settings of recipes/desk.yaml, so
in as many steps on the same rows in the same order, and differ only in `train.distil`. What is
measured on held-out dialogues, in nats a target:

    teacher-KL      the forward divergence from the tokens that the teacher named, all others
                    merged, where the ledger has them. The full divergence is larger, by the mass of
                    the others times the divergence among them
    cross-entropy   of the teacher's text, at all targets. In expectation it is the teacher's
                    entropy plus the full divergence from what it draws from; so a difference
                    between two students is that of their full divergences, without bias

Both are averaged over seeds, dialogue by dialogue. Differences from text alone are paired, with
95 % intervals that resample dialogues; the least and the greatest of any seed stand beside them.

    python benchmarks/distil.py [--base small] [--sizes 100 400] [--seeds 3] [--only NAME ...]
"""

import argparse
import shutil
import tempfile
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from understudy.dialogue import read_dialogues, write_dialogues
from understudy.models import load_model
from understudy.progress import set_quiet
from understudy.recipe import DistilSettings, TrainSettings
from understudy.recipe_file import load_recipe
from understudy.run import run
from understudy.statistics import Array, interval, resamples
from understudy.train.data import unpacked
from understudy.train.distil.align import teacher_arrays
from understudy.train.distil.divergence import told, topk_divergence
from understudy.train.loss import Trainee, cross_entropy
from understudy.train.ranks import CPU
from understudy.train.stage import load_student, template_for, train
from understudy.train.tokens import encode_file
from understudy.world.bases import SIZES, base_dir, cache_root
from understudy.world.encyclopedia import World

RECIPE = Path(__file__).parents[1] / "recipes" / "desk.yaml"
TEXT = "text alone"
WAYS = {
    TEXT: None,
    "forward, weight 0.5": DistilSettings(),
    "forward, weight 1": DistilSettings(weight=1),
    "reverse, weight 0.5": DistilSettings(divergence="reverse"),
    "js, weight 0.5": DistilSettings(divergence="js"),
}
HELDOUT = 200  # dialogues
SPARE = 1.4  # prompts for each dialogue that is wanted; curation drops some


@dataclass(frozen=True)
class Scores:
    """Sums over the targets of each of d held-out dialogues, shape (d,) each."""

    divergence: Array
    cross_entropy: Array


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", choices=SIZES, default="small", help="the world's")
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 400], metavar="DIALOGUES")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), metavar="NAME")
    options = parser.parse_args()
    set_quiet(True)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        compare(Path(scratch), options.base, options.sizes, range(options.seeds), options.only)


def compare(folder: Path, base: str, sizes: list[int], seeds: range, ways: list[str]) -> None:
    """Collect, train every student, measure and print."""
    n = round(SPARE * (max(sizes) + HELDOUT))
    recipe = load_recipe(
        RECIPE,
        [
            f"base=world:{base}",
            f"collect.n={n}",
            "collect.temperature=1",
            "collect.top_logprobs=20",
            f"curate.heldout={HELDOUT / (max(sizes) + HELDOUT)}",
            f"curate.heldout_max={HELDOUT}",
        ],
    )
    data = run(recipe, folder / "run", until="curate")
    known, words = World.of(recipe.world), recipe.world.text_tokens
    start = str(base_dir(known, base, cache_root(), words, recipe.world.seed))
    exam = Exam(data, start, recipe.train, folder / "heldout")
    exam.describe()
    for size in sizes:
        file = folder / f"{size}.jsonl"
        dialogues = islice(read_dialogues(data / "curate" / "train.jsonl"), size)
        if (found := write_dialogues(file, dialogues)) < size:
            raise SystemExit(f"only {found} dialogues to train on; choose smaller --sizes")
        print(f"\n{size} dialogues, {len(seeds)} seeds")
        first: list[Scores] = []
        for way in ways:
            settings = recipe.train.model_copy(update={"distil": WAYS[way]})
            scores = []
            for seed in seeds:
                ledger, out = str(data / "ledger.sqlite"), folder / "student"
                facts = train(start, file, None, settings, out, seed, ledger)
                scores.append(exam.sit(load_model(str(out / "model"))))
                shutil.rmtree(out)
            first = first or scores
            told_share = facts.get("teacher_told", {}).get("told_share", 0)
            print(
                f"{way}: {facts['steps']} steps, {facts['tokens']:,} tokens, "
                f"{facts['supervised_tokens']:,} targets, {told_share:.0%} told, {facts['dtype']}"
            )
            exam.tell(scores, first)


class Exam:
    """Held-out dialogues, and what the teacher says in them.

    Args:
        data: a run's folder, up to curation.
        base: a model directory.
        settings: of training, for the template and the context.
        folder: for tokens.
    """

    def __init__(self, data: Path, base: str, settings: TrainSettings, folder: Path) -> None:
        template = template_for(base, settings)
        file = data / "curate" / "heldout.jsonl"
        tokens = encode_file(file, template, settings.context, folder / "tokens")
        spoken = teacher_arrays(file, tokens, template, data / "ledger.sqlite", folder / "teacher")
        rows = replace(unpacked(tokens), teacher=(spoken.ids, spoken.logprobs))
        self._batches = [rows.collate([place]) for place in range(len(rows))]
        named = [batch.teacher for batch in self._batches if batch.teacher]
        self._targets = np.array([len(batch.targets) for batch in self._batches], float)
        self._told = np.array([int(told(teacher).sum()) for teacher in named], float)
        self._mass = sum(float(teacher.logprobs.exp().sum()) for teacher in named)
        self._draws = resamples(len(self._batches), seed=0)
        self._untrained = load_student(base, template, settings, CPU, 0)

    def describe(self) -> None:
        """What is held out, and how the base does before it is trained."""
        targets, spoken_at = self._targets.sum(), self._told.sum()
        print(
            f"held out: {len(self._batches)} dialogues, {targets:,.0f} targets, "
            f"{spoken_at / targets:.0%} told; what the teacher named has a mass of "
            f"{self._mass / spoken_at:.3f} there, on average\nbase"
        )
        scores = [self.sit(self._untrained)]
        self.tell(scores, scores)

    @torch.no_grad()
    def sit(self, model: PreTrainedModel) -> Scores:
        """Measure a model, in fp32."""
        trainee = Trainee(model, "fp32")
        head = model.get_output_embeddings()
        far, entropy = [], []
        for batch in self._batches:
            logits = head(trainee.hidden(batch))
            assert batch.teacher is not None
            far.append(float(topk_divergence(logits, batch.teacher, "forward", 1)[0]))
            entropy.append(float(cross_entropy(logits, batch.targets)[0]))
        return Scores(np.array(far), np.array(entropy))

    def tell(self, scores: list[Scores], first: list[Scores]) -> None:
        """Means over seeds and, of others than the first, what they have more than it."""
        for name, counts in (("divergence", self._told), ("cross_entropy", self._targets)):
            own, theirs = (np.stack([getattr(s, name) for s in side]) for side in (scores, first))
            words = f"{own.mean(axis=0).sum() / counts.sum():.4f}"
            if scores is not first:
                more = own - theirs
                found = interval(self._draws @ more.mean(axis=0) / (self._draws @ counts))
                by_seed = more.sum(axis=1) / counts.sum()
                words += (
                    f"  {found['value']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f}), "
                    f"by seed {by_seed.min():+.4f} to {by_seed.max():+.4f}"
                )
            print(f"    {name.replace('_', '-'):15}{words}")


if __name__ == "__main__":
    main()
