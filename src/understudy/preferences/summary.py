"""All that many preferences say, as one JSON object: what judges print, panels and reports show."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from understudy.errors import UserError
from understudy.preferences import Preference
from understudy.preferences.agreement import cohen_kappa, krippendorff_alpha
from understudy.preferences.bias import (
    first_preferred,
    longer_preferred,
    self_preference,
    swapped,
)
from understudy.preferences.bradley_terry import bradley_terry
from understudy.preferences.control import difference, style_controlled
from understudy.preferences.length import length_controlled
from understudy.preferences.scores import scores_of, share_of_baseline
from understudy.preferences.win_rate import Rate, shares_of, win_rate
from understudy.statistics import Interval

DIGITS = 6
NOBODY: Mapping[str, str | None] = MappingProxyType({})
Pair = tuple[str, str]
Rows = Sequence[Preference]


class Party(NamedTuple):
    """Who is counted together: a judge alone, or all people of a protocol (judge None)."""

    protocol: str
    judge: str | None


def summarise(
    preferences: Iterable[Preference], seed: int, judges: Mapping[str, str | None] = NOBODY
) -> dict[str, Any]:
    """Count preferences: win rates with intervals, biases, strengths, and who agrees with whom.

    A judge is counted by itself. Raters who are not named as judges are people, and those of one
    protocol are counted together; an interval then speaks of other people, too.

    Args:
        preferences: of any raters, protocols and models.
        seed: of the bootstraps.
        judges: the raters that are LLMs, each with the name that its own answers have among the
            models; None if that is its own name, or they are not there.

    Returns:
        JSON; shares are in 0..1, and what cannot be said is null. INTERVAL is {"value", "low",
        "high"}; "rater" is the name of a party's only rater, null where it has several; A and B
        are in the order of their names::

            {"n", "raters": [...], "models": [...],
             "comparisons": [
               {"protocol", "rater", "raters": how many, "models": [A, B],
                "win_rate": INTERVAL of A over B, "standard_error",
                "judged", "items": prompts, "wins", "ties", "losses", "not_judged",
                "position": INTERVAL of the answer shown first,
                "swapped": {"items", "same": INTERVAL},
                "length": {"longer_preferred": INTERVAL, "mean_characters": {A: ..., B: ...},
                           "controlled": INTERVAL with "terms" and "coefficients"},
                "style": {"controlled": INTERVAL, "effects": {...}, "explained"},
                "scores": of a judge that scores, {"n", "totals": {A: ..., B: ...},
                           "share_of_baseline": {A: INTERVAL of its total over B's, B: of A's},
                           "at_equal_length": likewise},
                "self_preference": INTERVAL with "model", its own}],
             "ranking": of parties with more than two models,
               [{"protocol", "rater", "strengths": {model: INTERVAL}, "note"}],
             "agreement": {
               "alpha": [INTERVAL with "protocol", "among": "people" or "judges",
                         "level": "ordinal", "raters", "items"],
               "kappa": [INTERVAL with "between": two parties as "name (protocol)", "items"]}}

        Agreement is on the verdict on two models' answers to a prompt, a rater's in both orders
        taken together. For kappa it is a win, tie or loss, and people's is what more of them say.

    Raises:
        UserError: both answers of a preference are by the same model.
    """
    # Sorted, so that draws do not depend on the order in which raters came.
    rows = sorted(preferences, key=lambda one: (one.item, one.rater, one.models))
    parties: dict[Party, list[Preference]] = defaultdict(list)
    for one in rows:
        if one.first.model == one.second.model:
            raise UserError(
                f"preference of {one.rater} on {one.item}: both answers are by {one.first.model}; "
                "compare two models"
            )
        parties[Party(one.protocol, one.rater if one.rater in judges else None)].append(one)
    ordered = sorted(parties.items(), key=lambda found: (found[0].protocol, found[0].judge or ""))
    summary: dict[str, Any] = _plain(
        {
            "n": len(rows),
            "raters": sorted({one.rater for one in rows}),
            "models": _models(rows),
            "comparisons": [
                _comparison(pair, between)
                | {"self_preference": _self_preference(party, pair, rows, judges)}
                for party, given in ordered
                for pair, between in _by_pair(given).items()
            ],
            "ranking": [
                _ranking(party, given, seed) for party, given in ordered if len(_models(given)) > 2
            ],
            "agreement": {"alpha": _alphas(ordered, seed), "kappa": _kappas(ordered)},
        }
    )
    return summary


def _models(rows: Rows) -> list[str]:
    return sorted({model for one in rows for model in one.models})


def _by_pair(rows: Rows) -> dict[Pair, list[Preference]]:
    pairs: dict[Pair, list[Preference]] = defaultdict(list)
    for one in rows:
        pairs[_pair(one)].append(one)
    return dict(sorted(pairs.items()))


def _pair(one: Preference) -> Pair:
    first, second = one.models
    return (first, second) if first < second else (second, first)


def _only_rater(rows: Rows) -> str | None:
    raters = {one.rater for one in rows}
    return raters.pop() if len(raters) == 1 else None


def _interval(rate: Rate | None) -> Interval:
    if rate is None:
        return {"value": None, "low": None, "high": None}
    return {"value": rate.value, "low": rate.low, "high": rate.high}


# Comparisons of two models by one party


def _comparison(pair: Pair, rows: Rows) -> dict[str, Any]:
    judged = [one for one in rows if one.share is not None]
    wins = win_rate(rows, pair[0])
    turned = swapped(rows)
    return {
        "protocol": rows[0].protocol,
        "rater": _only_rater(rows),
        "raters": len({one.rater for one in rows}),
        "models": pair,
        "win_rate": _interval(wins.rate),
        "standard_error": wins.rate and wins.rate.standard_error,
        "judged": len(judged),
        "items": len({one.item for one in judged}),
        "wins": wins.wins,
        "ties": wins.ties,
        "losses": wins.losses,
        "not_judged": wins.not_judged,
        "position": _interval(first_preferred(rows)),
        "swapped": turned and {"items": turned.items, "same": _interval(turned.same)},
        "length": _length(pair, rows, judged),
        "style": _style(pair, judged),
        "scores": _scores(pair, rows),
    }


def _length(pair: Pair, rows: Rows, judged: Rows) -> dict[str, Any]:
    characters = {model: np.array([len(one.text_of(model)) for one in rows]) for model in pair}
    longer = longer_preferred(judged)
    found: dict[str, Any] = {
        "longer_preferred": longer and _interval(longer),
        "mean_characters": {model: float(lengths.mean()) for model, lengths in characters.items()},
        "controlled": None,
    }
    if judged:
        model, other = (np.array([len(one.text_of(name)) for one in judged]) for name in pair)
        shares = shares_of(judged, pair[0])
        equal = length_controlled(shares, other - model, clusters=[one.item for one in judged])
        found["controlled"] = {
            "value": equal.win_rate,
            "low": equal.low,
            "high": equal.high,
            "terms": equal.terms,
            "coefficients": equal.coefficients,
        }
    return found


def _style(pair: Pair, judged: Rows) -> dict[str, Any] | None:
    if not judged:
        return None
    apart = cache(difference)  # the same two answers come in both orders and to many raters
    differences = [apart(*(one.text_of(model) for model in pair)) for one in judged]
    equal = style_controlled(
        shares_of(judged, pair[0]),
        {name: np.array([found[name] for found in differences]) for name in differences[0]},
        [one.item for one in judged],
    )
    return {
        "controlled": {"value": equal.win_rate, "low": equal.low, "high": equal.high},
        "effects": equal.effects,
        "explained": equal.explained,
    }


def _scores(pair: Pair, rows: Rows) -> dict[str, Any] | None:
    scored = [one for one in rows if one.scores]
    if not scored:
        return None
    baselines = {pair[0]: pair[1], pair[1]: pair[0]}
    return {
        "n": len(scored),
        "totals": {model: float(scores_of(scored, model).sum()) for model in pair},
        "share_of_baseline": {
            model: share_of_baseline(scored, model, baseline)
            for model, baseline in baselines.items()
        },
        "at_equal_length": {
            model: share_of_baseline(scored, model, baseline, at_equal_length=True)
            for model, baseline in baselines.items()
        },
    }


def _self_preference(
    party: Party, pair: Pair, rows: Rows, judges: Mapping[str, str | None]
) -> dict[str, Any] | None:
    if party.judge is None:
        return None
    own = judges[party.judge] or party.judge
    if own not in pair:
        return None
    same = [one for one in rows if one.protocol == party.protocol and _pair(one) == pair]
    more = self_preference(same, party.judge, own)
    return more and {"model": own, "value": more.value, "low": more.low, "high": more.high}


def _ranking(party: Party, rows: Rows, seed: int) -> dict[str, Any]:
    fitted = bradley_terry(rows, seed)
    return {
        "protocol": party.protocol,
        "rater": _only_rater(rows),
        "strengths": fitted.models,
        "note": fitted.note,
    }


# Agreement

Unit = tuple[str, Pair]  # a prompt and two models


def _ratings(rows: Rows) -> dict[tuple[Unit, str], float]:
    """How far each rater prefers a pair's first model, the mean of all that it said of it."""
    given: dict[tuple[Unit, str], list[float]] = defaultdict(list)
    for one in rows:
        pair = _pair(one)
        share = one.share_of(pair[0])
        if share is not None:
            given[(one.item, pair), one.rater].append(share)
    # Rounded, so that a preference that turns with the sides is a tie.
    return {key: round(sum(shares) / len(shares), 9) for key, shares in given.items()}


def _alphas(parties: Sequence[tuple[Party, Rows]], seed: int) -> list[dict[str, Any]]:
    together: dict[tuple[str, str], list[Preference]] = defaultdict(list)
    for party, rows in parties:
        together[party.protocol, "judges" if party.judge else "people"].extend(rows)
    found = []
    for (protocol, among), given in together.items():
        ratings = _ratings(given)
        units = [unit for unit, _ in ratings]
        raters = {rater for _, rater in ratings}
        if len(raters) > 1:
            found.append(
                krippendorff_alpha(units, list(ratings.values()), "ordinal", seed)
                | {
                    "protocol": protocol,
                    "among": among,
                    "level": "ordinal",
                    "raters": len(raters),
                    "items": sum(times > 1 for times in Counter(units).values()),
                }
            )
    return found


def _kappas(parties: Sequence[tuple[Party, Rows]]) -> list[dict[str, Any]]:
    verdicts = {
        f"{_only_rater(rows) or 'people'} ({party.protocol})": _verdicts(rows)
        for party, rows in parties
    }
    found = []
    for one, other in combinations(verdicts, 2):
        shared = [unit for unit in verdicts[one] if unit in verdicts[other]]
        if shared:
            said = ([verdicts[party][unit] for unit in shared] for party in (one, other))
            found.append(cohen_kappa(*said) | {"between": [one, other], "items": len(shared)})
    return found


def _verdicts(rows: Rows) -> dict[Unit, int]:
    """For each unit 1, 0 or −1: whether more raters prefer one model than the other."""
    votes: Counter[Unit] = Counter()
    for (unit, _), share in _ratings(rows).items():
        votes[unit] += (share > 0.5) - (share < 0.5)
    return {unit: (vote > 0) - (vote < 0) for unit, vote in votes.items()}


def _plain(value: Any) -> Any:
    """As JSON has it: lists, and floats rounded; None for what has no bound."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value
