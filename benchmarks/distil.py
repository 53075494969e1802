"""Whether a teacher's log-probabilities teach more than its text alone, at equal data.

The world's teacher answers broad prompts at temperature 1 and names its 20 likeliest tokens at each
place. Students of one base then train on the same dialogues with the settings of
recipes/desk.yaml, so in as many steps on the same rows in the same order, and differ only in
`train.distil`. What is measured on held-out dialogues, in nats a target:

    teacher-KL      the forward divergence from the tokens that the teacher named, all others
                    merged, where the ledger has them. The full divergence is larger, by the mass of
                    the others times the divergence among them
    cross-entropy   of the teacher's text, at all targets. In expectation it is the teacher's
                    entropy plus the full divergence from what it draws from; so a difference
                    between two students is that of their full divergences, without bias

Both are averaged over seeds, dialogue by dialogue. Differences from text alone are paired, with
95 % intervals that resample dialogues; the least and the greatest of any seed stand beside them.

    python benchmarks/distil.py [--base world:small] [--sizes 100 400] [--seeds 3] [--only NAME ...]
"""

import argparse
import shutil
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from understudy.dialogue import read_dialogues, write_dialogues
from understudy.models import load_model
from understudy.progress import set_quiet
from understudy.recipe import DistilSettings, TrainSettings, load_recipe
from understudy.run import run
from understudy.statistics import Array, interval, resamples
from understudy.train.data import DialogueRows, unpacked
from understudy.train.distil.align import teacher_arrays
from understudy.train.distil.divergence import told, topk_divergence
from understudy.train.loss import Trainee, cross_entropy
from understudy.train.ranks import CPU
from understudy.train.stage import load_student, template_for, train
from understudy.train.tokens import encode_file
from understudy.world.bases import base_dir, cache_root
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
SPARE = 1.4  # prompts a dialogue that is wanted: curation drops equal ones


@dataclass(frozen=True)
class Scores:
    """Sums over the targets of each of d held-out dialogues, shape (d,) each."""

    divergence: Array
    cross_entropy: Array


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", default="world:small")
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
            f"base={base}",
            f"collect.n={n}",
            "collect.temperature=1",
            "collect.top_logprobs=20",
            f"curate.heldout={HELDOUT / (max(sizes) + HELDOUT)}",
            f"curate.heldout_max={HELDOUT}",
        ],
    )
    data = run(recipe, folder / "run", until="curate")
    if base.startswith("world:"):
        world, words = recipe.world, recipe.world.text_tokens
        known, kind = World(world.seed, world.people), base.removeprefix("world:")
        base = str(base_dir(known, kind, cache_root(), words, world.seed))
    exam = Exam(data, base, recipe.train, folder / "heldout")
    exam.describe()
    print(f"base: {exam.words(exam.sit(exam.untrained))}")
    for size in sizes:
        train_file = folder / f"{size}.jsonl"
        found = write_dialogues(
            train_file, islice(read_dialogues(data / "curate" / "train.jsonl"), size)
        )
        if found < size:
            raise SystemExit(f"only {found} dialogues to train on; choose smaller --sizes")
        scores: dict[str, list[Scores]] = {}
        for way in ways:
            settings = recipe.train.model_copy(update={"distil": WAYS[way]})
            scores[way] = []
            for seed in seeds:
                ledger, out = str(data / "ledger.sqlite"), folder / "student"
                facts = train(base, train_file, None, settings, out, seed, ledger)
                scores[way].append(exam.sit(load_model(str(out / "model"))))
                shutil.rmtree(out)
            if way == ways[0]:
                print(
                    f"\n{size} dialogues, {facts['tokens']:,} tokens, "
                    f"{facts['supervised_tokens']:,} targets, {facts['steps']} steps, "
                    f"{len(seeds)} seeds, {facts['dtype']}"
                )
            if "teacher_told" in facts and way == next(w for w in ways if WAYS[w]):
                print(f"the teacher speaks at {facts['teacher_told']['told_share']:.0%} of targets")
        exam.tell(scores)


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
        self._told = spoken.facts()["told_share"]
        self._rows: DialogueRows = unpacked(tokens)
        self._batches = [
            DialogueRows(
                tokens, self._rows.members, self._rows.row_offsets, (spoken.ids, spoken.logprobs)
            ).collate([place])
            for place in range(len(tokens))
        ]
        self.untrained = load_student(base, template, settings, CPU, 0)
        self._targets = np.array([len(batch.targets) for batch in self._batches], float)
        named = [batch.teacher for batch in self._batches if batch.teacher]
        self._spoken_at = np.array([int(told(teacher).sum()) for teacher in named], float)
        self._mass = sum(float(teacher.logprobs.exp().sum()) for teacher in named)
        self._draws = resamples(len(self._batches), seed=0)

    def describe(self) -> None:
        spoken_at = self._spoken_at.sum()
        print(
            f"held out: {len(self._batches)} dialogues, {self._targets.sum():,.0f} targets, the "
            f"teacher speaks at {self._told:.0%} of them; its 20 named tokens have a mass of "
            f"{self._mass / spoken_at:.3f} there, on average"
        )

    @torch.no_grad()
    def sit(self, model: PreTrainedModel) -> Scores:
        trainee = Trainee(model, "fp32")
        head = model.get_output_embeddings()
        far, entropy = [], []
        for batch in self._batches:
            logits = head(trainee.hidden(batch))
            assert batch.teacher is not None
            far.append(float(topk_divergence(logits, batch.teacher, "forward", 1)[0]))
            entropy.append(float(cross_entropy(logits, batch.targets)[0]))
        return Scores(np.array(far), np.array(entropy))

    def words(self, scores: Scores) -> str:
        return (
            f"teacher-KL {scores.divergence.sum() / self._spoken_at.sum():.4f}, "
            f"cross-entropy {scores.cross_entropy.sum() / self._targets.sum():.4f}"
        )

    def tell(self, scores: dict[str, list[Scores]]) -> None:
        """A table: each way's means over seeds, and its differences from the first's."""
        titles = ("teacher-KL", "minus the first (95 %)", "by seed")
        titles += ("cross-entropy", "minus the first (95 %)", "by seed")
        print(f"{'':20}" + "".join(f"{title:>26}" for title in titles))
        first, *_ = scores.values()
        for way, own in scores.items():
            cells = []
            for name, weights in (
                ("divergence", self._spoken_at),
                ("cross_entropy", self._targets),
            ):
                sums, theirs = (np.stack([getattr(s, name) for s in side]) for side in (own, first))
                cells.append(f"{sums.sum() / len(own) / weights.sum():.4f}")
                if own is first:
                    cells += ["", ""]
                    continue
                less = sums - theirs
                found = interval(self._draws @ less.mean(axis=0) / (self._draws @ weights))
                cells.append("{value:+.4f} ({low:+.4f} to {high:+.4f})".format(**found))
                by_seed = less.sum(axis=1) / weights.sum()
                cells.append(f"{by_seed.min():+.4f} to {by_seed.max():+.4f}")
            print(f"{way:20}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
