"""Real teachers, bases and students, from published answers; and the paper's own tables.

Prints the tables of docs/real-teachers.md and docs/paper.md, or with `--json` every figure in them
and more. Nothing is trained or asked; see `understudy.study.published`. It takes a minute.

    python benchmarks/real_teachers.py [DIR] [--json] [--seed 0]

DIR (default: UNDERSTUDY_DATA) holds vicuna80/, self_instruct/ and alpaca_eval/ as published.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from understudy.preferences import Preference
from understudy.preferences.published import annotation_figures, read_annotations
from understudy.preferences.reviews import read_reviews, review_figures
from understudy.study.paper import table_1, table_2
from understudy.study.published import (
    distances,
    first_answer,
    read_answers,
    style_gap,
    style_share,
)
from understudy.style.distance import MEASURES

LLAMA, ALPACA, VICUNA, BARD = "LLaMA-13B", "Alpaca-13B", "Vicuna-13B", "Bard"
DAVINCI, CUT, SELF = "davinci", "davinci, cut", "davinci-self-instruct"
ALPACA_7, VICUNA_7 = "Alpaca-7B", "Vicuna-7B"
DAVINCI_3, CHATGPT, GPT4 = "text-davinci-003", "ChatGPT", "GPT-4"
VICUNA_80 = {
    LLAMA: "llama-13b",
    ALPACA: "alpaca-13b",
    VICUNA: "vicuna-13b",
    CHATGPT: "gpt35",
    BARD: "bard",
}
ALPACA_EVAL = {
    ALPACA_7: "alpaca-7b",
    VICUNA_7: "vicuna-7b",
    DAVINCI_3: "text_davinci_003",
    CHATGPT: "gpt-3.5-turbo-0301",
    GPT4: "gpt4",
}
YARDSTICKS = {DAVINCI_3: CHATGPT, CHATGPT: GPT4, GPT4: CHATGPT}  # of each teacher another
JUDGES = ("alpaca_eval_gpt4", "weighted_alpaca_eval_gpt4_turbo")
TO = " → "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("UNDERSTUDY_DATA"))
    parser.add_argument("--json", action="store_true", help="all figures instead of tables")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.folder is None:
        sys.exit("no data: name a folder, or set UNDERSTUDY_DATA")
    found = figures(Path(args.folder), args.seed)
    print(json.dumps(found, indent=2) if args.json else "\n".join(pages(found)))


# Figures


def figures(folder: Path, seed: int) -> dict[str, Any]:
    return {
        "sets": {
            "Vicuna's 80 questions": vicuna_80(folder / "vicuna80", seed),
            "Self-Instruct's 252 tasks": self_instruct(folder / "self_instruct", seed),
            "AlpacaEval's 805 prompts": alpaca_eval(folder / "alpaca_eval", seed),
        },
        "win_rates": list(win_rates(folder, seed)),
        "paper": {"nq": table_1(seed), "style": table_2()},
    }


def vicuna_80(folder: Path, seed: int) -> dict[str, Any]:
    """Gaps by base and student, and distances by teacher."""
    files = {name: folder / f"answer_{file}.jsonl" for name, file in VICUNA_80.items()}
    items = read_answers(folder / "question.jsonl", files)
    return {
        "gaps": {
            LLAMA + TO + student: style_gap(items, LLAMA, student, CHATGPT, seed)
            for student in (ALPACA, VICUNA)
        },
        "distances": {CHATGPT: distances(items, CHATGPT, BARD, seed)},
    }


def self_instruct(folder: Path, seed: int) -> dict[str, Any]:
    """Also with the base's answers cut where it goes on to make up further tasks."""
    files = {n: folder / f"{n}_predictions.jsonl.gz" for n in (DAVINCI, SELF, DAVINCI_3)}
    items = read_answers(files[DAVINCI], files)
    for item in items:
        item.answers[CUT] = first_answer(item.answers[DAVINCI], item.prompt)
    return {
        "gaps": {
            base + TO + SELF: style_gap(items, base, SELF, DAVINCI_3, seed)
            for base in (DAVINCI, CUT)
        },
        "distances": {DAVINCI_3: distances(items, DAVINCI_3, DAVINCI, seed)},
    }


def alpaca_eval(folder: Path, seed: int) -> dict[str, Any]:
    """No base's answers: distances alone."""
    files = {name: folder / f"{file}.model_outputs.json.gz" for name, file in ALPACA_EVAL.items()}
    items = read_answers(files[GPT4], files)
    return {
        "gaps": {},
        "distances": {
            teacher: distances(items, teacher, yardstick, seed)
            for teacher, yardstick in YARDSTICKS.items()
        },
    }


def win_rates(folder: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Of every published comparison: as published, at equal length, and what style has to do."""
    vicuna = folder / "vicuna80"
    path = vicuna / "review_gpt35_vicuna-13b.jsonl"
    answers = [vicuna / "answer_gpt35.jsonl", vicuna / "answer_vicuna-13b.jsonl"]
    given = review_figures(path, answers)
    yield styled([one.preference for one in read_reviews(path, answers)], "GPT-4", seed) | {
        "equal_length": given["length_controlled_win_rate"],
        "share_of_baseline": given["share_of_baseline"],
        "share_of_baseline_at_equal_length": given["at_equal_length"],
    }
    for judge in JUDGES:
        paths = sorted((folder / "alpaca_eval").glob(f"*.{judge}.annotations.json.gz"))
        for path, given in zip(paths, annotation_figures(*paths)["models"], strict=True):
            keys = ("win_rate", "low", "high")
            value, low, high = (given[f"length_controlled_{key}"] / 100 for key in keys)
            yield styled(read_annotations(path), judge, seed) | {
                "equal_length": {"value": value, "low": low, "high": high}
            }


def styled(preferences: list[Preference], judge: str, seed: int) -> dict[str, Any]:
    """The baseline's answer comes first in all of these files."""
    baseline, model = preferences[0].models
    about = {"judge": judge, "model": model, "baseline": baseline}
    return about | style_share(preferences, model, seed)


# Tables


def pages(found: dict[str, Any]) -> Iterator[str]:
    """The tables in Markdown, line by line."""
    for title, one in found["sets"].items():
        gaps = one["gaps"]
        if gaps:
            yield f"\n## {title}: style gap closed, %\n"
            whole = {"**whole**": [percent(gap["gap_closed"]) for gap in gaps.values()]}
            yield from table(["measure", *gaps], whole | by_measure(gaps.values()))
        for teacher, far in one["distances"].items():
            models = [name for name in far["measures"] if name != teacher]
            yield f"\n## {title}: beside {teacher}\n"
            yield from table(["measure", *models, teacher], measured(far, [*models, teacher]))
    yield "\n## Win rates, %\n"
    ways = ["at equal length", "at equal style", "style levelled"]
    shares = ["style's share: equal", "style's share: levelled", "explained"]
    rates = {
        f"{one['judge']}: {one['model']} against {one['baseline']}": [
            percent(one["win_rate"], 1),
            percent(one["equal_length"], 1),
            percent(one["equal"]["win_rate"], 1),
            percent(one["levelled"]["win_rate"], 1),
            percent(one["equal"]["share"]),
            percent(one["levelled"]["share"]),
            f"{one['explained']:.2f}",
        ]
        for one in found["win_rates"]
    }
    yield from table(["", "win rate", *ways, *shares], rates)
    yield "\n## The paper's Table 1: gap closed on Natural Questions, %\n"
    yield from crossed(found["paper"]["nq"], "base", "data", percent)
    yield "\n## The paper's Table 2: style's share of its ceiling, %\n"
    yield from crossed(found["paper"]["style"], "measure", "tokens", rounded)


def by_measure(gaps: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    return {name: [percent(gap["closed"][name]) for gap in gaps] for name in MEASURES}


def measured(far: dict[str, Any], models: list[str]) -> dict[str, list[str]]:
    """Distances from a teacher, these over the yardstick's, and every measure."""
    rows = {
        "**distance**": [number(far["distance"].get(name), 3) for name in models],
        f"over {far['yardstick']}'s": [number(far["over_yardstick"].get(name)) for name in models],
        "words": [number(far["words"][name], 0) for name in models],
    }
    return rows | {
        measure: [value(far["measures"][name][measure]) for name in models] for measure in MEASURES
    }


def crossed(
    rows: list[dict[str, Any]], down: str, across: str, shown: Callable[[dict[str, Any]], str]
) -> Iterator[str]:
    names = dict.fromkeys(row[down] for row in rows)
    columns = dict.fromkeys(
        f"{row[across]:,}" if across == "tokens" else row[across] for row in rows
    )
    cells = {name: [shown(row) for row in rows if row[down] == name] for name in names}
    yield from table([down, *columns], cells)


def table(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for name, cells in rows.items():
        yield f"| {' | '.join([name, *cells])} |"


def percent(found: dict[str, Any], digits: int = 0) -> str:
    if found["value"] is None:
        return "undefined"
    scaled = {end: found[end] and 100 * found[end] for end in ("value", "low", "high")}
    return number(scaled, digits)


def number(found: dict[str, Any] | None, digits: int = 2) -> str:
    if found is None:
        return "–"
    if found["low"] is None:
        return f"{value(found, digits)} (no bounds)"
    low, high = (value({"value": found[end]}, digits) for end in ("low", "high"))
    return f"{value(found, digits)} ({low} to {high})"


def value(found: dict[str, Any], digits: int = 2) -> str:
    return "–" if found["value"] is None else f"{found['value']:z.{digits}f}".replace("-", "−")


def rounded(row: dict[str, Any]) -> str:
    return f"{100 * row['value']:.0f} ({100 * row['least']:.0f} to {100 * row['most']:.0f})"


if __name__ == "__main__":
    main()
