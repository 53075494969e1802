"""What a panel's ratings say: preferences, raters' quality, and marks on claims."""

import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from scipy.special import bdtrc

from understudy.errors import UserError
from understudy.panel.records import CHOICES
from understudy.panel.store import Store
from understudy.preferences import Preference, Shown
from understudy.preferences.summary import summarise
from understudy.progress import say
from understudy.statistics import clustered_interval, wilson

CHECKS = ("gold", "attention")
SLIP = 0.04  # share of attention checks on which one who reads slips, at most
LEVEL = 0.05
RULE = (
    f"flagged: misses so many attention checks as somebody who slips on {SLIP:.0%} of them would "
    f"in fewer than {LEVEL:.0%} of cases"
)
LIVE_S = 3.0  # between two computations of the owner's figures, at least
LIVE_SHARE = 0.1  # of the time that they may take up

Row = dict[str, Any]


def preferences(rows: Iterable[Row], without: Collection[str] = ()) -> Iterator[Preference]:
    """Ratings of pairs (not of gold pairs or attention checks) as preferences.

    Args:
        rows: the store's.
        without: names of raters to leave out.
    """
    for row in rows:
        if row["kind"] == "pair" and row["rater"] not in without:
            yield Preference(
                item=row["item"],
                first=Shown(model=row["left"], text=row["left_text"]),
                second=Shown(model=row["right"], text=row["right_text"]),
                share=CHOICES[row["choice"]],
                rater=row["rater"],
                protocol=row["protocol"],
            )


def results(rows: Sequence[Row], seed: int, without_flagged: bool = False) -> dict[str, Any]:
    """All that is said of a panel's ratings, in JSON.

    Args:
        rows: the store's.
        seed: of bootstraps.
        without_flagged: leave the ratings of flagged raters out of preferences and claims.

    Returns:
        {"ratings": how many, "rule": how raters are flagged, "left_out": their names where they
        are left out, "raters": `quality`, "preferences": `summarise` of what is kept, "claims":
        `claims`}.
    """
    raters = quality(rows)
    left_out = [name for name, found in raters.items() if without_flagged and found["flagged"]]
    kept = [row for row in rows if row["rater"] not in left_out]
    return {
        "ratings": len(rows),
        "rule": RULE,
        "left_out": left_out,
        "raters": raters,
        "preferences": summarise(preferences(kept), seed),
        "claims": claims(kept),
    }


def quality(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """How carefully everybody rated, by rater.

    {"protocol", "rated", "median_seconds" (in front of an item, as the browser says; by the
    store's clock where it says nothing), "same" and "cannot" (shares of pairs), "gold",
    "attention" and "agreement", each {"right", "of", "low", "high"}, and "flagged"}

    A gold pair or attention check is right where the better side was chosen, however clearly.
    Agreement is with the mean of the others of the protocol on the same pair, where both lean to a
    side; it is right where that is the same side. Raters are flagged by attention checks alone, see
    RULE: who is in a hurry may miss gold pairs, and that is a finding.
    """
    by_rater: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_rater[row["rater"]].append(row)
    others = _Others(rows)
    return {name: _quality(mine, others) for name, mine in sorted(by_rater.items())}


def flagged(rows: Sequence[Row]) -> list[str]:
    """The names of the raters who fail RULE."""
    return [name for name, found in quality(rows).items() if found["flagged"]]


def claims(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """Marks on the sentences of answers, by protocol and model.

    {"right", "wrong", "unsure", "checked" (counts), "share_wrong", "low", "high"}: the share of the
    checked sentences that are wrong, with the interval for sentences of one prompt that are alike.
    """
    marks: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        if row["kind"] == "pair":
            for claim in row["claims"]:
                key = row["protocol"], row[claim["side"]]
                marks[key].append((row["item"], claim["mark"]))
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for (protocol, model), given in sorted(marks.items()):
        counts = Counter(mark for _, mark in given)
        low, high = clustered_interval(
            [float(mark == "wrong") for _, mark in given], [item for item, _ in given]
        )
        found[protocol][model] = {
            **{mark: counts[mark] for mark in ("right", "wrong", "unsure")},
            "checked": len(given),
            "share_wrong": counts["wrong"] / len(given),
            "low": low,
            "high": high,
        }
    return dict(found)


class Live:
    """The owner's figures while raters work: `results` and everybody's progress.

    Figures are computed anew when there are new ratings, but not more often than every LIVE_S
    seconds and for no more than LIVE_SHARE of the time. Nobody waits for that, but for the first
    ones; meanwhile the last ones are given. Progress is always of now.

    Called, it returns `results` and "progress": a list of {"id", "name", "protocol", "revoked",
    "rated", "total"}; and "computed_at", seconds since 1970.
    """

    def __init__(self, store: Store, seed: int = 0) -> None:
        self._store, self._seed = store, seed
        self._lock = threading.Lock()  # held while figures are computed
        self._stamp: Any = None
        self._figures: dict[str, Any] = {}
        self._next = 0.0

    def __call__(self) -> dict[str, Any]:
        if not self._figures:
            with self._lock:
                self._refresh()
        elif self._next < time.monotonic() and self._lock.acquire(blocking=False):
            threading.Thread(target=self._refresh_aside, daemon=True).start()
        return self._figures | {"progress": [asdict(rater) for rater in self._store.raters()]}

    def _refresh_aside(self) -> None:
        try:
            self._refresh()
        except UserError as error:  # the database fails; the next call says so to the owner
            say(f"panel: {error}")
        finally:
            self._lock.release()

    def _refresh(self) -> None:
        begun, stamp = time.monotonic(), self._store.stamp()
        if stamp != self._stamp:
            figures = results(list(self._store.rows()), self._seed)
            self._stamp, self._figures = stamp, figures | {"computed_at": time.time()}
        now = time.monotonic()
        self._next = now + max(LIVE_S, (now - begun) / LIVE_SHARE)


def words(found: dict[str, Any]) -> str:
    """`results` in lines for a person."""
    lines = [f"{found['ratings']} ratings"]
    if found["left_out"]:
        lines[0] += f"; left out: {', '.join(found['left_out'])}"
    for one in found["preferences"]["comparisons"]:
        (model, other), raters = one["models"], one["raters"]
        rate = _share(one["win_rate"]) if one["win_rate"] else "nothing judged"
        lines.append(
            f"{one['protocol']}: {model} over {other}: {rate}, {one['judged']} ratings by "
            f"{raters} rater{'s'[: raters != 1]}, {one['not_judged']} not judged"
        )
    for one in found["preferences"]["agreement"]["alpha"]:
        lines.append(f"{one['protocol']}: Krippendorff's alpha {_share(one)}")
    for protocol, models in found["claims"].items():
        for model, marks in models.items():
            wrong = _share({"value": marks["share_wrong"]} | marks)
            lines.append(f"{protocol}: {model}: {wrong} of {marks['checked']} sentences wrong")
    for name, rater in found["raters"].items():
        checks = ", ".join(f"{k} {rater[k]['right']}/{rater[k]['of']}" for k in CHECKS)
        flag = "; flagged" if rater["flagged"] else ""
        lines.append(
            f"{name} ({rater['protocol']}): {rater['rated']} rated, {checks}, "
            f"{rater['median_seconds']:.0f} s an item{flag}"
        )
    return "\n".join(lines)


def _share(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "cannot be told"
    bounds = (found["low"], found["high"])
    shown = "–".join("?" if bound is None else f"{bound:.3f}" for bound in bounds)
    return f"{found['value']:.3f} ({shown})"


class _Leaning(NamedTuple):
    """What one rating says of a pair, whichever answer stood left."""

    pair: tuple[str, str, frozenset[str]]
    share: float  # of the model that comes first in the alphabet


class _Others:
    """The sums of what all raters said of every pair, to take a single one's part from."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._said: dict[Any, list[tuple[str, float]]] = defaultdict(list)
        for row in rows:
            if leaning := _leaning(row):
                self._said[leaning.pair].append((row["rater"], leaning.share))

    def mean(self, row: Row) -> float | None:
        """What the others say on average; None where there are none."""
        leaning = _leaning(row)
        said = self._said[leaning.pair] if leaning else []
        return _mean([share for rater, share in said if rater != row["rater"]])


def _quality(mine: Sequence[Row], others: _Others) -> dict[str, Any]:
    rated = [row for row in mine if row["kind"] == "pair"]
    checks = {kind: [_better_chosen(row) for row in mine if row["kind"] == kind] for kind in CHECKS}
    agreed = []
    for row in rated:
        leaning, mean = _leaning(row), others.mean(row)
        if leaning and mean is not None and leaning.share != 0.5 and mean != 0.5:
            agreed.append((leaning.share > 0.5) == (mean > 0.5))
    attention = checks["attention"]
    return {
        "protocol": mine[0]["protocol"],
        "rated": len(mine),
        "median_seconds": statistics.median(
            row["active_seconds"] or row["seconds"] for row in mine
        ),
        "same": _mean([row["choice"] == "same" for row in rated]),
        "cannot": _mean([row["choice"] == "cannot" for row in rated]),
        **{kind: _hits(right) for kind, right in checks.items()},
        "agreement": _hits(agreed),
        "flagged": _unlikely(len(attention) - sum(attention), len(attention)),
    }


def _leaning(row: Row) -> _Leaning | None:
    share = CHOICES[row["choice"]]
    if row["kind"] != "pair" or share is None:
        return None
    pair = row["protocol"], row["item"], frozenset((row["left"], row["right"]))
    return _Leaning(pair, share if row["right"] < row["left"] else 1 - share)


def _better_chosen(row: Row) -> bool:
    share = CHOICES[row["choice"]]
    return share is not None and share != 0.5 and (share > 0.5) == (row["right"] == row["better"])


def _hits(right: Sequence[bool]) -> dict[str, Any]:
    low, high = wilson(sum(right), len(right))
    return {"right": sum(right), "of": len(right), "low": low, "high": high}


def _unlikely(misses: int, checks: int) -> bool:
    """Whether so many misses or more have a chance below LEVEL, if SLIP is that of each."""
    return misses > 0 and float(bdtrc(misses - 1, checks, SLIP)) < LEVEL


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
