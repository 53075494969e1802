"""AlpacaEval's annotations, read, and their win rates recomputed. For Vicuna's see `reviews`."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel

from understudy.errors import UserError
from understudy.files import digest, open_text, read_json, validated, whole_characters
from understudy.preferences import Preference, Shown
from understudy.preferences.length import (
    LengthControlled,
    jointly_length_controlled,
    length_controlled,
)
from understudy.statistics import Array

PROTOCOL = "published"
TIES = (0, 1.5)  # AlpacaEval has written them both ways


def _known_preference(value: float | None) -> float | None:
    if value is None or math.isnan(value):
        return None
    if value != 0 and not 1 <= value <= 2:
        raise ValueError("is neither in 1..2, nor 0, nor null")
    return value


class _Annotation(BaseModel):
    instruction: str
    output_1: str
    generator_1: str
    output_2: str
    generator_2: str
    annotator: str
    preference: Annotated[float | None, AfterValidator(_known_preference)]


def read_annotations(path: Path) -> list[Preference]:
    """The preferences in a file of AlpacaEval's annotations (.json, plain or packed).

    The baseline's answer comes first. AlpacaEval shuffles what its judge sees and does not record
    how, so these say nothing of position. An item is named by its instruction's digest, the same in
    every file; the second one of an instruction in a file has "-2" behind it.

    Raises:
        UserError: the file is missing, or is none; names the record, from 1.
    """
    rows = whole_characters(read_json(path))
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: not a list of annotations; name AlpacaEval's annotations.json")
    seen: Counter[str] = Counter()
    found = []
    for number, row in enumerate(rows, start=1):
        one = validated(_Annotation, row, f"{path}, record {number}")
        name = digest(one.instruction)[:16]
        seen[name] += 1
        tie = one.preference in TIES
        found.append(
            Preference(
                item=name if seen[name] == 1 else f"{name}-{seen[name]}",
                first=Shown(model=one.generator_1, text=one.output_1),
                second=Shown(model=one.generator_2, text=one.output_2),
                share=0.5 if tie else None if one.preference is None else one.preference - 1,
                rater=one.annotator,
                protocol=PROTOCOL,
            )
        )
    return found


def read_difficulties(path: Path) -> list[float]:
    """AlpacaEval's `instruction_difficulty.csv`: a header, then (row of the set, difficulty).

    Raises:
        UserError: the file is missing, a line is not two numbers, or the rows are not 0, 1, 2, ...
    """
    with open_text(path) as file:
        lines = file.read().splitlines()[1:]
    found = []
    for number, line in enumerate(lines):
        try:
            row, value = line.split(",")
            found.append(float(value))
            in_order = int(row) == number and math.isfinite(found[-1])
        except ValueError:
            in_order = False
        if not in_order:
            raise UserError(
                f"{path}, line {number + 2}: not row {number} and its difficulty; fetch "
                "instruction_difficulty.csv of tatsu-lab/alpaca_eval again"
            )
    return found


def annotation_figures(*paths: Path, difficulties: Path | None = None) -> dict[str, Any]:
    """Win rates of AlpacaEval's annotations, in percent, raw and at equal length.

    One file has `model`, `baseline`, `judge`, `win_rate`, `standard_error`,
    `length_controlled_win_rate` with its interval `length_controlled_low` and `_high`, `n` that
    were judged, `unread`, and the `terms` and `coefficients` of the regression. Several files, of
    one judge and baseline, have one such dict each under `models`, and are fitted jointly.

    Args:
        paths: one file a model.
        difficulties: AlpacaEval's own, see `read_difficulties`. With them each file is fitted by
            itself, by the published terms; without, see `preferences.length`.

    Raises:
        UserError: a file is none of AlpacaEval's, has several models, or the files do not go
            together.
    """
    files = [read_annotations(path) for path in paths]
    names = [_names(path, file) for path, file in zip(paths, files, strict=True)]
    for path, one in zip(paths, names, strict=True):
        if (one["judge"], one["baseline"]) != (names[0]["judge"], names[0]["baseline"]):
            raise UserError(f"{path}: not of {paths[0]}'s judge and baseline; give it by itself")
    if difficulties is not None:
        values = np.array(read_difficulties(difficulties))
        for path, file in zip(paths, files, strict=True):
            if len(file) != len(values):
                raise UserError(
                    f"{difficulties}: {len(values)} difficulties, but {len(file)} annotations in "
                    f"{path}; they go by place, so give both of the same set, whole"
                )
        controlled = [_alone(file, values) for file in files]
    else:
        controlled = [_alone(files[0])] if len(files) == 1 else _jointly(files)
    figures = [
        one | _figures(_shares(file), fit)
        for one, file, fit in zip(names, files, controlled, strict=True)
    ]
    return figures[0] if len(figures) == 1 else {"models": figures}


def _names(path: Path, file: Sequence[Preference]) -> dict[str, str]:
    """The judge, baseline and model that a file is of."""
    kinds = {(one.rater, *one.models) for one in file}
    if len(kinds) > 1:
        raise UserError(f"{path}: more than one judge, baseline or model; give each its own file")
    if all(one.share is None for one in file):
        raise UserError(f"{path}: no preference could be read; nothing to compute")
    judge, baseline, model = kinds.pop()
    return {"model": model, "baseline": baseline, "judge": judge}


def _figures(shares: Array, controlled: LengthControlled) -> dict[str, Any]:
    judged = shares[~np.isnan(shares)]
    n = len(judged)
    return {
        "win_rate": 100 * float(judged.mean()),
        "standard_error": 100 * float(judged.std(ddof=1)) / math.sqrt(n) if n > 1 else None,
        "length_controlled_win_rate": 100 * controlled.win_rate,
        "length_controlled_low": 100 * controlled.low,
        "length_controlled_high": 100 * controlled.high,
        "n": n,
        "unread": len(shares) - n,
        "terms": list(controlled.terms),
        "coefficients": controlled.coefficients,
    }


def _alone(file: Sequence[Preference], difficulties: Array | None = None) -> LengthControlled:
    """One file by itself; the baseline's length stands in for difficulties not given."""
    shares, lengths = _shares(file), _characters(file)
    judged = ~np.isnan(shares)
    baseline, model = lengths[judged].T
    return length_controlled(
        shares[judged],
        baseline - model,
        None if difficulties is None else difficulties[judged],
        baseline_characters=baseline if difficulties is None else None,
        clusters=[_instruction(one.item) for one in file if one.share is not None],
    )


def _jointly(files: Sequence[Sequence[Preference]]) -> list[LengthControlled]:
    items = list(dict.fromkeys(one.item for file in files for one in file))
    place = {item: number for number, item in enumerate(items)}
    shares = np.full((len(files), len(items)), np.nan)
    delta, baseline = shares.copy(), np.zeros(len(items))
    for number, file in enumerate(files):
        at, lengths = [place[one.item] for one in file], _characters(file)
        shares[number, at] = _shares(file)
        delta[number, at] = lengths[:, 0] - lengths[:, 1]
        baseline[at] = lengths[:, 0]
    return jointly_length_controlled(shares, delta, baseline, [_instruction(i) for i in items])


def _shares(file: Sequence[Preference]) -> Array:
    """The model's, one an item; nan where unread."""
    return np.array([np.nan if one.share is None else one.share for one in file])


def _characters(file: Sequence[Preference]) -> Array:
    """Of the baseline's and the model's answers, items × 2."""
    return np.array([(len(one.first.text), len(one.second.text)) for one in file], dtype=float)


def _instruction(item: str) -> str:
    return item.partition("-")[0]
