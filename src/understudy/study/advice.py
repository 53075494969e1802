"""Advice: what the next sum of money is expected to gain, by what it could be spent on.

One stands at a student of the grid: a base, a kind of data and an amount. The sum could buy

- more: more data of the same kind, the student trained anew on all of it;
- local: a local set, the student trained on that alone, in place of what one has;
- base: a bigger base, trained on the same data.

What is bought is paid for at the teacher's measured price of a token, and by training. Each one's
gain is the forecast mean over runs (see `forecast`) minus that of where one stands, from joint
draws over curves and items, so that gains can be compared. Advice is given only where one option's
gain is above nought, and the largest, at 95 %.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from understudy.errors import UserError
from understudy.statistics import Array, interval
from understudy.study.forecast import CannotFitError, fit_of, points_of, predict
from understudy.study.grid import middle
from understudy.study.table import OVERALL, Table

FURTHEST = 10  # times what was measured: no forecast goes further, whatever the money buys
SURE = 0.95


class Costs(NamedTuple):
    """What things cost, in US dollars.

    Attributes:
        usd_per_token: of each kind's imitation set, from its teacher's calls; None: not known.
        flops: sustained in training, operations a second.
        usd_per_hour: of the machine that trains.
        epochs: how often a student of each kind sees its data.
    """

    usd_per_token: Mapping[str, float | None]
    flops: float
    usd_per_hour: float
    epochs: Mapping[str, float]

    def training(self, parameters: float, kind: str) -> float:
        """Of one token of an imitation set: 6 operations for each parameter and token seen.

        Kaplan et al. 2020, "Scaling laws for neural language models", section 2.1.
        """
        operations = 6 * parameters * self.epochs[kind]
        return operations / self.flops / 3600 * self.usd_per_hour


class Student(NamedTuple):
    """A student, of the grid or not; `base` is None for one that was not tried."""

    kind: str
    base: str | None
    parameters: float
    amount: int


class Purchase(NamedTuple):
    """What the money buys.

    Attributes:
        name: for people.
        student: that one then has; None where there is a `reason` why it buys nothing.
        tokens: of imitation data that are bought.
        usd: spent.
        bounded: it would buy more than is forecast.
    """

    name: str
    student: Student | None
    tokens: int = 0
    usd: float = 0.0
    bounded: bool = False
    reason: str | None = None


def advice(table: Table, costs: Costs) -> dict[str, Any]:
    """What the study's next `advice.usd` are expected to gain.

    Gains are shares in 0..1, in OVERALL and in the benchmarks of local kinds.

    Returns:
        For report.json: `usd`; `standing`; `options`, each with what it buys, whether that is
        `bounded` or `beyond` what was measured, and its `gains` by quantity (95 % interval, and the
        probability that it is `positive`) or the `reason` why there is none; `recommendations`,
        for each quantity the `recommended` option's name or null, and the `reason`; `words`.

    Raises:
        UserError: the study's settings stand at a kind that it has not.
    """
    usd, standing = table.settings.advice.usd, _standing(table)
    local = [kind for kind in table.settings.local if kind != standing.kind]
    purchases = [
        _more(table, costs, standing),
        *(_local(table, costs, standing, kind) for kind in local),
        _bigger(table, costs, standing),
    ]
    tasks = [task for kind in table.settings.local for task in table.settings.kinds[kind].task]
    options = [_facts(table, purchase) for purchase in purchases]
    recommendations = []
    for quantity in dict.fromkeys([OVERALL, *tasks]):
        gains = {}
        for option, drawn in zip(
            options, _gains(table, quantity, standing, purchases), strict=True
        ):
            if drawn is None:
                continue
            gains[option["name"]] = drawn
            positive = round(float((drawn > 0).mean()), 4)
            found = interval(np.concatenate([[drawn.mean()], drawn]))
            option["gains"].append({"quantity": quantity, **found, "positive": positive})
        recommended, reason = recommend(gains)
        recommendations.append({"quantity": quantity, "recommended": recommended, "reason": reason})
    result = {
        "usd": usd,
        "standing": standing._asdict(),
        "options": options,
        "recommendations": recommendations,
    }
    return {**result, "words": _words(result)}


def recommend(gains: Mapping[str, Array]) -> tuple[str | None, str]:
    """The option whose gain is above nought and above all others' at 95 %, or None; and why.

    Args:
        gains: joint draws of each option's.
    """
    if not gains:
        return None, "no option can be forecast"
    helping = [name for name, drawn in gains.items() if np.percentile(drawn, 2.5) > 0]
    if not helping:
        return None, "none of them is shown to help"
    if len(gains) == 1:
        return None, f"{helping[0]} is shown to help, and there is nothing to compare it with"
    names, drawn = list(gains), np.stack(list(gains.values()))
    best = np.bincount(drawn.argmax(axis=0), minlength=len(names)) / drawn.shape[1]
    first = int(best.argmax())
    sure = f"{names[first]} gains most with a probability of {100 * best[first]:.0f} %"
    if best[first] < SURE or names[first] not in helping:
        return None, f"cannot tell which: {sure}"
    return names[first], sure


def _standing(table: Table) -> Student:
    settings, chosen = table.settings, table.settings.advice
    kind = chosen.kind or (settings.broad or list(settings.kinds))[0]
    if kind not in settings.kinds:
        known = ", ".join(settings.kinds)
        raise UserError(f"advice.kind: no kind is called {kind}; there are {known}")
    base = chosen.base or middle(settings.base_names)
    amount = chosen.amount or settings.amounts_of(kind)[-1]
    return Student(kind, base, table.parameters[base], amount)


def _more(table: Table, costs: Costs, now: Student) -> Purchase:
    name = f"more {now.kind} data"
    free = table.settings.advice.usd - now.amount * costs.training(now.parameters, now.kind)
    return _data(table, costs, name, now, free)


def _local(table: Table, costs: Costs, now: Student, kind: str) -> Purchase:
    none = now._replace(kind=kind, amount=0)
    return _data(table, costs, f"{kind} data instead", none, table.settings.advice.usd)


def _data(table: Table, costs: Costs, name: str, now: Student, usd: float) -> Purchase:
    """Data on top of what one has, and a student of all; `usd`: beside training on what one has."""
    price, training = costs.usd_per_token[now.kind], costs.training(now.parameters, now.kind)
    least, most = _measured(table, now.kind)
    if price is None:
        return Purchase(name, None, reason=f"what a token of {now.kind} costs is not known")
    if not most:
        return Purchase(name, None, reason=f"no student of {now.kind} was measured")
    room = FURTHEST * most - now.amount
    affordable = usd / (price + training) if price + training else np.inf
    tokens = int(min(max(affordable, 0), room))
    if now.amount + tokens < least / FURTHEST or tokens <= 0:
        return Purchase(name, None, reason="the money buys next to nothing of it")
    spent = tokens * price + (now.amount + tokens) * training
    student = now._replace(amount=now.amount + tokens)
    return Purchase(name, student, tokens, spent, bool(affordable > room))


def _bigger(table: Table, costs: Costs, now: Student) -> Purchase:
    """The biggest of the study's bases that can be trained; beyond all of them, any size."""
    name = "a bigger base"
    each = now.amount * costs.training(1, now.kind)  # a parameter's training
    affordable = table.settings.advice.usd / each if each else np.inf
    bigger = {base: n for base, n in table.parameters.items() if n > now.parameters}
    within = {base: n for base, n in bigger.items() if n <= affordable}
    if bigger and not within:
        base = min(bigger, key=lambda one: bigger[one])
        return Purchase(name, None, reason=f"training {base} costs ${bigger[base] * each:,.2f}")
    if within:
        base = max(within, key=lambda one: within[one])
        student = now._replace(base=base, parameters=within[base])
        return Purchase(f"{name} ({base})", student, usd=within[base] * each)
    size = min(affordable, FURTHEST * now.parameters)
    if size <= now.parameters:
        return Purchase(name, None, reason="the money does not train one")
    student = now._replace(base=None, parameters=size)
    return Purchase(name, student, usd=size * each, bounded=bool(affordable > size))


def _measured(table: Table, kind: str) -> tuple[int, int]:
    """The smallest and the largest amount of a kind that was measured; 0 where none was."""
    amounts = [cell.amount for cell in table.students if cell.kind == kind]
    return min(amounts, default=0), max(amounts, default=0)


def _gains(
    table: Table, quantity: str, now: Student, purchases: Sequence[Purchase]
) -> list[Array | None]:
    """Of each purchase, draws over curves and items of the gain in the mean over runs.

    None where nothing is bought or its kind cannot be fitted. Two kinds are two fits, whose curves
    are drawn each on its own: what both say of the base they share is taken to be unsure twice, and
    their difference to be less sure than it might be.
    """
    students = [now, *(one.student for one in purchases if one.student)]
    drawn: dict[Student, Array] = {}
    for kind in dict.fromkeys(student.kind for student in students):
        of_kind = [student for student in students if student.kind == kind]
        asked = points_of(table, [(*student[1:], np.nan) for student in of_kind])
        with suppress(CannotFitError):
            fitted = fit_of(table, kind, quantity)
            scores = predict(table, fitted, quantity, asked, items=True)
            drawn |= zip(of_kind, scores.T, strict=True)
    return [
        drawn[one.student] - drawn[now] if now in drawn and one.student in drawn else None
        for one in purchases
    ]


def _facts(table: Table, purchase: Purchase) -> dict[str, Any]:
    """An option as the report has it, without its gains."""
    student = purchase.student
    beyond = False
    if student is not None:
        least, most = _measured(table, student.kind)
        tried = {cell.base for cell in table.students if cell.kind == student.kind}
        beyond = student.base not in tried or not least <= student.amount <= most
    return {
        "name": purchase.name,
        **(student._asdict() if student else dict.fromkeys(Student._fields)),
        "tokens": purchase.tokens,
        "usd": round(purchase.usd, 2),
        "bounded": purchase.bounded,
        "beyond": beyond,
        "reason": purchase.reason,
        "gains": [],
    }


def _words(found: Mapping[str, Any]) -> list[str]:
    """The advice in sentences."""
    now = found["standing"]
    words = [
        f"You stand at {now['base']}, trained on {now['amount']:,} tokens of {now['kind']}, and "
        f"have ${found['usd']:,.2f}."
    ]
    for option in found["options"]:
        words.append(_bought(option))
        if option["kind"] not in (None, now["kind"]):
            words.append(
                f"The student of {option['kind']} is trained on that alone, in place of "
                f"{now['kind']}; a mixture of both was not measured."
            )
    words.append(
        "Gains are of the mean over runs. A bigger base costs its training on the same data; what "
        "it costs to serve is not counted."
    )
    for advised in found["recommendations"]:
        quantity = advised["quantity"]
        gains = [
            f"{option['name']} {100 * gain['value']:+.1f} points "
            f"({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
            for option in found["options"]
            for gain in option["gains"]
            if gain["quantity"] == quantity
        ]
        if gains:
            words.append(f"Expected for {quantity}: {'; '.join(gains)}.")
        if advised["recommended"]:
            words.append(f"For {quantity}, buy {advised['recommended']}: {advised['reason']}.")
        else:
            words.append(f"For {quantity}, no advice: {advised['reason']}.")
    return words


def _bought(option: Mapping[str, Any]) -> str:
    if option["kind"] is None:
        return f"{option['name']}: {option['reason']}."
    if option["tokens"]:
        what = f"{option['tokens']:,} tokens, {option['amount']:,} in all"
    else:
        what = f"training of {option['parameters']:,.0f} parameters on the same data"
    said = f"{option['name']}: ${option['usd']:,.2f} buy {what}"
    if option["bounded"]:
        said += f", bounded at {FURTHEST} times the largest measured"
    if option["beyond"]:
        said += "; this lies outside what was measured, and its forecast is an extrapolation"
    return f"{said}; {option['reason']}." if option["reason"] else f"{said}."
