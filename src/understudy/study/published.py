"""What published answers and judgements say of a student, by the same code as a run's.

There are no runs behind these: others trained the students, asked the models and judged. Answers of
a base, a student and a teacher to the same prompts go through the style stage's `compare`; where no
base's were published there is no gap, and `distances` says how far models are from a teacher, and
how far that is beside another model. `style_share` says what style has to do with a win rate.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from understudy.errors import UserError
from understudy.judge.match import Item, match
from understudy.judge.sets import read_rows
from understudy.preferences import Preference
from understudy.preferences.control import difference, style_controlled
from understudy.preferences.logistic import fit
from understudy.preferences.win_rate import shares_of
from understudy.statistics import (
    Array,
    Interval,
    gap_closed,
    interval,
    mean_interval,
    ratio,
    resamples,
)
from understudy.style.distance import MEASURES, measures, style_distance
from understudy.style.profile import profile
from understudy.style.stage import Texts, compare

PARITY = 0.5
ANOTHER = re.compile(r"^(?:input|output) ?:", re.IGNORECASE)


def read_answers(prompts: Path, models: Mapping[str, Path]) -> list[Item]:
    """The prompts, in their order, each with one published answer of every model.

    Args:
        prompts: a file of prompts, or of answers that say what was asked.
        models: files of answers by the models' names; see `judge.sets` for their formats.

    Raises:
        UserError: a file is missing or of no known format, or has not one answer for every prompt.
    """
    items, unmatched = match(
        read_rows(prompts), (), {name: read_rows(path) for name, path in models.items()}
    )
    for name, counts in unmatched.items():
        counted = ", ".join(f"{count} {why}" for why, count in counts.items())
        raise UserError(
            f"{models.get(name, prompts)}: {counted}; give files of answers to the same prompts"
        )
    return items


def style_gap(
    items: Sequence[Item], base: str, student: str, teacher: str, seed: int
) -> dict[str, Any]:
    """The style gap that a student closed, whole and by measure; see `style.stage.compare`."""
    texts: Texts = {
        role: {item.id: [item.answers[name]] for item in items}
        for role, name in (("teacher", teacher), ("base", base), ("student", student))
    }
    return compare(texts, seed)


def first_answer(text: str, prompt: str) -> str:
    """A base's answer without the further examples that it goes on to make up.

    A base that is shown "instruction, Input: ..., Output:" continues the pattern: it answers, and
    then writes the next example. Its answer ends before the first line that begins with "Input:" or
    "Output:", or with what the prompt begins with.
    """
    opening = prompt.strip().partition("\n")[0].strip().lower()
    kept = []
    for line in text.splitlines():
        start = line.strip().lower()
        if ANOTHER.match(start) or (opening and start.startswith(opening)):
            break
        kept.append(line)
    return "\n".join(kept).strip()


def distances(items: Sequence[Item], teacher: str, yardstick: str, seed: int) -> dict[str, Any]:
    """How far models' style is from a teacher's, where there is no base to measure a gap from.

    Args:
        items: with the same models' answers each.
        teacher: one of the models.
        yardstick: another, by whose distance the others' are divided: below 1, a model is nearer to
            the teacher than that one is.
        seed: of the bootstrap.

    Returns:
        `n`, `yardstick`, and by model `distance` and `over_yardstick` INTERVAL (not the teacher's
        own), `measures` {measure: INTERVAL} and `words` INTERVAL, an answer's mean; see
        `style.distance`. Intervals are over prompts, paired.
    """
    profiles = {name: [profile(item.answers[name]) for item in items] for name in items[0].answers}
    n = len(items)
    weights = resamples(n, seed)
    values, reference = measures(profiles, profiles[teacher], weights)
    far = {
        name: style_distance(found, reference) for name, found in values.items() if name != teacher
    }
    return {
        "n": n,
        "yardstick": yardstick,
        "distance": {name: interval(rows) for name, rows in far.items()},
        "over_yardstick": {
            name: interval(ratio(rows, far[yardstick])) for name, rows in far.items()
        },
        "measures": {
            name: dict(zip(MEASURES, map(interval, found.T), strict=True))
            for name, found in values.items()
        },
        "words": {
            name: interval(weights @ [len(one.words) for one in given] / n)
            for name, given in profiles.items()
        },
    }


def style_share(preferences: Sequence[Preference], model: str, seed: int) -> dict[str, Any]:
    """What style has to do with how often a model is preferred to one other.

    Win rates are told from 1/2, at which neither model leads. If without style the win rate were w,
    style's share of the lead is (win rate − w) / (win rate − 1/2): negative where style works
    against the model that leads, above 1 where without it the other would lead. What w is depends
    on how style is thought away; both ways rest on the regression of `preferences.control`.

    - `equal`: every pair alike in style, as LMSYS has it. This also takes away that pairs differ,
      which makes preferences surer (a logistic regression's odds ratio does not collapse: Gail,
      Wieand & Piantadosi 1984), so that some lead is found even if neither model has more style.
    - `levelled`: pairs differ as they do, but neither model has more of a feature on average: the
      mean prediction with each difference less its mean. It is 0 if neither has more style. (Oaxaca
      1973 and Blinder 1973 take wage gaps apart so, Fairlie 2005 in a logistic regression.)

    Neither is a share of the causes. Longer answers with more lists may say more, and what they say
    is put down to style as well; and where few pairs are alike, both extrapolate.

    Args:
        preferences: one a prompt, between the model and one other.
        model: of which the win rate is.
        seed: of the bootstrap.

    Returns:
        `n` judged; `win_rate` INTERVAL; `equal` and `levelled`, each with INTERVALs `win_rate`,
        `points` (the win rate less that) and `share`, this with a `reason` where it is undefined or
        has no bounds; and `explained`, what of the judge's choices style predicts
        (`StyleControlled.explained`). Intervals are over prompts: by bootstrap, save the win rate's
        (`statistics.mean_interval`) and that at equal style (`preferences.control`).

    Raises:
        UserError: no preference could be read, or a prompt was judged twice.
    """
    judged = [one for one in preferences if one.share is not None]
    if not judged:
        raise UserError(f"{model}: no preference could be read; nothing to compute")
    if len({one.item for one in judged}) < len(judged):
        raise UserError(f"{model}: a prompt was judged twice; give one judgement a prompt")
    others = [next(name for name in one.models if name != model) for one in judged]
    apart = [
        difference(one.text_of(model), one.text_of(other))
        for one, other in zip(judged, others, strict=True)
    ]
    shares = shares_of(judged, model)
    features = {name: np.array([found[name] for found in apart]) for name in apart[0]}
    controlled = style_controlled(shares, features, range(len(shares)))
    raw, equal, levelled = _rates(shares, np.column_stack(list(features.values())), seed)
    return {
        "n": len(judged),
        "win_rate": _interval(float(shares.mean()), *mean_interval(shares)),
        "equal": _of_the_lead(raw, equal) | {"win_rate": _interval(*controlled[:3])},
        "levelled": _of_the_lead(raw, levelled),
        "explained": controlled.explained,
    }


def _rates(shares: Array, features: Array, seed: int) -> Array:
    """The win rate, at equal style, and levelled: 3 × (on the data, then on draws over prompts).

    Args:
        shares: one an item.
        features: differences, items × features.
        seed: of the draws.
    """
    features = features[:, np.ptp(features, axis=0) > 0]
    scaled = features / features.std(axis=0)
    found = []
    for counts in resamples(len(shares), seed):
        rows = np.repeat(np.arange(len(shares)), counts.astype(int))
        design = np.column_stack([np.ones(len(rows)), scaled[rows]])
        coefficients = fit(design, shares[rows]).coefficients
        level = design - [0, *scaled[rows].mean(axis=0)]
        levelled = expit(level @ coefficients).mean()
        found.append((shares[rows].mean(), expit(coefficients[0]), levelled))
    return np.array(found).T


def _of_the_lead(raw: Array, without: Array) -> dict[str, Any]:
    leader = np.sign(raw[0] - PARITY)
    share = gap_closed(-leader * raw, -leader * without, -leader * np.full(len(raw), PARITY))
    return {
        "win_rate": interval(without),
        "points": interval(raw - without),
        "share": share | _reason(share),
    }


def _reason(share: Interval) -> dict[str, str]:
    if share["value"] is None:
        return {"reason": "neither model leads"}
    if share["low"] is None:
        return {"reason": "neither model leads reliably"}
    return {}


def _interval(value: float, low: float, high: float) -> Interval:
    return {"value": value, "low": low, "high": high}
