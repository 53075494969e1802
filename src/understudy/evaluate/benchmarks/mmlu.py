"""MMLU (Hendrycks et al. 2021), 5-shot, as the harness's task `mmlu`.

Files: `mmlu/dev/SUBJECT_dev.csv` and `mmlu/test/SUBJECT_test.csv`, without a header: question, the
options A to D, the right letter. The dev file's first five items are the examples, in their order.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from understudy.errors import UserError
from understudy.evaluate.benchmarks.hub import hub_rows
from understudy.evaluate.benchmarks.kinds import LETTERS, Benchmark, ChoiceItem
from understudy.files import read_text

SHOTS = 5


class Row(NamedTuple):
    question: str
    options: tuple[str, ...]
    right: int


Split = dict[str, list[Row]]  # rows by subject


def items(data: Path | None, limit: int | None, seed: int) -> list[ChoiceItem]:
    """The test items, subject by subject; a limit takes as many of each subject as it can."""
    dev, test = _from_hub() if data is None else _from_files(data / "mmlu")
    found = []
    for subject, count in _shares(test, limit).items():
        shown = dev[subject][:SHOTS]
        for number, row in enumerate(test[subject][:count], start=1):
            prompt = header(subject) + "".join(solved(shot) for shot in shown) + asked(row)
            id = f"{subject}/{number}"
            found.append(ChoiceItem(id, subject, row.question, row.options, row.right, prompt))
    return found


def header(subject: str) -> str:
    about = subject.replace("_", " ")
    return f"The following are multiple choice questions (with answers) about {about}.\n\n"


def asked(row: Row) -> str:
    options = "".join(f"{a}. {text}\n" for a, text in zip(LETTERS, row.options, strict=True))
    return f"{row.question.strip()}\n{options}Answer:"


def solved(row: Row) -> str:
    return f"{asked(row)} {LETTERS[row.right]}\n\n"


MMLU = Benchmark("mmlu", "choice", "accuracy", SHOTS, 1 / len(LETTERS), items)


def _shares(test: Split, limit: int | None) -> dict[str, int]:
    """How many items of each subject: dealt out one at a time, in the subjects' order."""
    counts = dict.fromkeys(sorted(test), 0)
    left = sum(map(len, test.values())) if limit is None else limit
    while left:
        open_subjects = [s for s in counts if counts[s] < len(test[s])][:left]
        if not open_subjects:
            break
        for subject in open_subjects:
            counts[subject] += 1
        left -= len(open_subjects)
    return counts


def _from_files(folder: Path) -> tuple[Split, Split]:
    paths = sorted((folder / "test").glob("*_test.csv"))
    if not paths:
        raise UserError(f"{folder / 'test'}: no *_test.csv there; name the folder above mmlu/")
    test = {path.stem.removesuffix("_test"): _read(path) for path in paths}
    dev = {}
    for subject in test:
        path = folder / "dev" / f"{subject}_dev.csv"
        dev[subject] = _read(path)
        if len(dev[subject]) < SHOTS:
            raise UserError(f"{path}: {len(dev[subject])} rows, {SHOTS} are needed; fetch it again")
    return dev, test


def _read(path: Path) -> list[Row]:
    rows = []
    reader = csv.reader(io.StringIO(read_text(path)))
    try:
        for number, fields in enumerate(reader, start=1):
            rows.append(_row(f"{path}, row {number}", fields))
    except csv.Error as error:
        raise UserError(f"{path}, row {len(rows) + 1}: broken CSV ({error}); mend it") from None
    if not rows:
        raise UserError(f"{path}: holds no items; fetch it again")
    return rows


def _row(place: str, fields: Sequence[str]) -> Row:
    if len(fields) != 2 + len(LETTERS):
        raise UserError(
            f"{place}: {len(fields)} columns; {2 + len(LETTERS)} are expected: question, A, B, C, "
            "D, letter"
        )
    question, *options, letter = fields
    if letter not in list(LETTERS):
        raise UserError(f"{place}: the right option is {letter[:20]!r}; it must be one of A to D")
    return Row(question, tuple(options), LETTERS.index(letter))


def _from_hub() -> tuple[Split, Split]:
    splits = []
    for name in ("dev", "test"):
        split: Split = defaultdict(list)
        for row in hub_rows("cais/mmlu", "all", name):
            split[row["subject"]].append(Row(row["question"], tuple(row["choices"]), row["answer"]))
        splits.append(split)
    return splits[0], splits[1]
