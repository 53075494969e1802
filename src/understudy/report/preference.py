"""What judges and people preferred, told from the student's side.

A party is one judge with one protocol, or all people of a protocol together. People have no names
here. Shares are in 0..1; INTERVAL is {"value", "low", "high"}, or null where nothing can be said.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.files import read_json
from understudy.preferences import FILE, Preference, read_preferences
from understudy.preferences.summary import summarise
from understudy.recipe import Recipe

MODELS = ("student", "base", "teacher")
PROTOCOLS = ("style", "hurried", "scores", "checking")  # in the order of the report
SAME = ("protocol", "raters", "judged", "items", "not_judged", "position", "swapped")
OPPOSITE = {"wins": "losses", "losses": "wins", "ties": "ties"}


def preference(run: Path, recipe: Recipe, seed: int) -> dict[str, Any] | None:
    """The report's content on preferences; None if nobody compared the answers.

    Returns:
        JSON::

            {"n": preferences,
             "comparisons": [
               {"by": "judge" or "people", "rater": the judge's name, or null, "protocol", "raters",
                "model", "against", "win_rate": INTERVAL of model over against,
                "at_equal_length": INTERVAL, "at_equal_style": INTERVAL, "style_explains",
                "share_of_total": INTERVAL of model's total score over against's; null: no scores,
                "share_of_total_at_equal_length": INTERVAL, "totals": by model, or null,
                "wins", "ties", "losses", "judged", "items", "not_judged",
                "position", "swapped", "longer_preferred", "mean_characters",
                "self_preference": INTERVAL with "model"}],
             "ranking": [{"by", "rater", "protocol", "strengths", "note"}],
             "agreement"}

        What is not said here is as in `preferences.summary`.

    Raises:
        UserError: a file is missing or malformed, or compares models that are not this run's.
    """
    judges = [one.model for one in recipe.judges]
    rows: list[Preference] = []
    own: dict[tuple[str, ...], Any] = {}
    if judges:
        rows += _read(run / "judge" / FILE)
        said = read_json(run / "judge" / "judge.json")["preferences"]["comparisons"]
        own = {_key(one): one["self_preference"] for one in said}
    panel = run / "panel" / FILE
    if panel.exists():
        rows += _unnamed(_read(panel))
    if not rows:
        return None
    found = summarise(rows, seed, dict.fromkeys(judges))
    comparisons = [
        _told(one) | _party(one, judges) | {"self_preference": own.get(_key(one))}
        for one in found["comparisons"]
    ]
    ranking = [one | _party(one, judges) for one in found["ranking"]]
    return {
        "n": found["n"],
        "comparisons": sorted(comparisons, key=lambda one: (*_pair(one), *_place(one))),
        "ranking": sorted(ranking, key=_place),
        "agreement": found["agreement"],
    }


def parties(preference: dict[str, Any] | None, model: str, against: str) -> list[dict[str, Any]]:
    """What every party says of two models, in the order of the report."""
    said = preference["comparisons"] if preference else []
    return [one for one in said if (one["model"], one["against"]) == (model, against)]


def base_share(
    preference: dict[str, Any], one: dict[str, Any], of: str = "win_rate"
) -> dict[str, Any] | None:
    """How often the party of a comparison prefers the base to the teacher; None if it did not say.

    It is where the student began. `of` names another of the comparison's shares.
    """
    party = ("by", "rater", "protocol")
    for other in parties(preference, "base", "teacher"):
        if all(other[name] == one[name] for name in party) and other["judged"]:
            share: dict[str, Any] | None = other[of]
            return share
    return None


def _read(path: Path) -> Iterator[Preference]:
    for line, one in enumerate(read_preferences(path), start=1):
        if unknown := set(one.models) - set(MODELS):
            raise UserError(
                f"{path}, line {line}: {min(unknown)!r} is none of {', '.join(MODELS)}; "
                "give the preferences of this run"
            )
        yield one


def _unnamed(rows: Iterable[Preference]) -> Iterator[Preference]:
    """People by number: a report is shown around, and who said what is nobody's business."""
    numbers: dict[str, str] = {}
    for one in rows:
        name = numbers.setdefault(one.rater, f"person {len(numbers) + 1}")
        yield one.model_copy(update={"rater": name})


def _party(one: dict[str, Any], judges: list[str]) -> dict[str, Any]:
    by_judge = one["rater"] in judges
    return {"by": "judge" if by_judge else "people", "rater": one["rater"] if by_judge else None}


def _key(one: dict[str, Any]) -> tuple[str, ...]:
    return (one["protocol"], one["rater"] or "", *one["models"])


def _pair(one: dict[str, Any]) -> tuple[int, int]:
    return MODELS.index(one["model"]), -MODELS.index(one["against"])


def _place(one: dict[str, Any]) -> tuple[Any, ...]:
    known = one["protocol"] in PROTOCOLS
    protocol = PROTOCOLS.index(one["protocol"]) if known else len(PROTOCOLS)
    return protocol, one["protocol"], one["by"] == "people", one["rater"] or ""


def _told(one: dict[str, Any]) -> dict[str, Any]:
    """A comparison of `summarise`, from the side of the model that comes first in MODELS."""
    model, against = sorted(one["models"], key=MODELS.index)
    turned = model != one["models"][0]
    length, style, scores = one["length"], one["style"] or {}, one["scores"]
    shares = {
        "win_rate": one["win_rate"],
        "at_equal_length": length["controlled"],
        "at_equal_style": style.get("controlled"),
    }
    return {
        "model": model,
        "against": against,
        **{name: _seen(share, turned) for name, share in shares.items()},
        "style_explains": style.get("explained"),
        "share_of_total": scores and scores["share_of_baseline"][model],
        "share_of_total_at_equal_length": scores and scores["at_equal_length"][model],
        "totals": scores and scores["totals"],
        **{name: one[OPPOSITE[name] if turned else name] for name in OPPOSITE},
        **{name: one[name] for name in SAME},
        "longer_preferred": length["longer_preferred"],
        "mean_characters": length["mean_characters"],
    }


def _seen(share: dict[str, Any] | None, turned: bool) -> dict[str, Any] | None:
    """The interval of a share; `turned` gives that of the other model's share."""
    if share is None:
        return None
    value, low, high = (share[name] for name in ("value", "low", "high"))
    if turned:
        value, low, high = (end if end is None else round(1 - end, 6) for end in (value, high, low))
    return {"value": value, "low": low, "high": high}
