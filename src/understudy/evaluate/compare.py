"""Two evaluations compared on the items that both have, benchmark by benchmark."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from understudy.errors import UserError
from understudy.files import read_json, read_jsonl
from understudy.pages.tidy import tidy
from understudy.statistics import (
    LEVEL,
    holm,
    lower_on,
    paired_difference,
    stochastically_lower,
)

REASONS = {
    "only_a": "only in A",
    "only_b": "only in B",
    "other_prompt": "with another prompt",
    "unscored": "without a score",
}


class _Item(NamedTuple):
    prompt: str
    score: float | None  # a share of the highest that there can be
    cluster: str
    tokens: int | None = None  # of which the score is a mean


def compare(a: Path, b: Path) -> dict[str, Any]:
    """How much higher B scores than A, from two folders that `understudy evaluate` wrote.

    Items are paired where both have the same id with the same prompt.

    Returns:
        `a` and `b`, the models; `benchmarks`: by name, `a` and `b` (mean scores of the paired
        items), `difference` (B − A), `low` and `high` (its 95 % interval), `p` and `p_holm`
        (adjusted for the number of benchmarks), `n`, `left_out` (items by reason) and
        `smallest_visible` (the difference that so many items show with a power of 80 %; None where
        they show none); `only_a` and `only_b`: the benchmarks that one of them lacks. Shares, but
        for perplexities, which have `highest`, at which they are clipped, and beside the rest
        `lower` (the share of items on which B's is the lower one, a tie being half, with `low` and
        `high`) and `stochastically_lower` ("a", "b" or None).

    Raises:
        UserError: a folder or file is missing or malformed; no benchmark or none of its items is in
            both; the two were asked or scored in different ways, or cut answers, of whose tokens
            the perplexity is taken, into other tokens.
    """
    first, second = _scores(a), _scores(b)
    ours, theirs = first["benchmarks"], second["benchmarks"]
    both = [name for name in ours if name in theirs]
    if not both:
        raise UserError(
            f"{b / 'scores.json'}: has no benchmark that {a} has ({', '.join(ours)}); evaluate "
            "both on one"
        )
    _check_alike(b, "asked as", first["prompting"], second["prompting"])
    found = {}
    for name in both:
        for what in ("metric", "harness", "scorer", "highest"):
            _check_alike(b, f"{name}: {what}", ours[name].get(what), theirs[name].get(what))
        clustered = bool(ours[name].get("clustered") or theirs[name].get("clustered"))
        highest = ours[name].get("highest")
        items = _compare_items(a, b, name, clustered, highest)
        found[name] = {"metric": ours[name]["metric"], **items}
    for entry, p in zip(
        found.values(), holm([entry["p"] for entry in found.values()]), strict=True
    ):
        entry["p_holm"] = _digits(p)
    return {
        "a": first["model"],
        "b": second["model"],
        "benchmarks": found,
        "only_a": [name for name in ours if name not in theirs],
        "only_b": [name for name in theirs if name not in ours],
    }


def _scores(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one that understudy evaluate wrote")
    path = folder / "scores.json"
    scores = read_json(path)
    benchmarks = scores.get("benchmarks") if isinstance(scores, dict) else None
    if not (
        isinstance(benchmarks, dict)
        and all(
            isinstance(e, dict)
            and isinstance(e.get("metric"), str)
            and (e.get("highest") is None or _is_positive(e["highest"]))
            for e in benchmarks.values()
        )
        and all(isinstance(scores.get(name), str) for name in ("model", "prompting"))
    ):
        raise UserError(f"{path}: not the scores of an evaluation; evaluate the model again")
    return scores


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def _check_alike(b: Path, what: str, ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise UserError(
            f"{b / 'scores.json'}: {what} {str(theirs)[:100]}, in the other {str(ours)[:100]}; "
            "evaluate both in the same way"
        )


def _compare_items(
    a: Path, b: Path, name: str, clustered: bool, highest: float | None
) -> dict[str, Any]:
    path, unit = b / "items" / f"{name}.jsonl", highest or 1
    ours, theirs = _items(a / "items" / f"{name}.jsonl", unit), _items(path, unit)
    left_out = Counter(only_a=len(ours.keys() - theirs), only_b=len(theirs.keys() - ours))
    scores, clusters = [], []
    for id, one in ours.items():
        other = theirs.get(id)
        if other is None:
            continue
        if one.prompt != other.prompt:
            left_out["other_prompt"] += 1
        elif one.score is None or other.score is None:
            left_out["unscored"] += 1
        elif one.tokens != other.tokens:
            raise UserError(
                f"{path}: the answer of {id[:100]!r} has {other.tokens} tokens, in the other "
                f"{one.tokens}; perplexities a token compare models of one tokenizer alone"
            )
        else:
            scores.append((one.score, other.score))
            clusters.append(one.cluster)
    if not scores:
        raise UserError(
            f"{path}: no item has the id and the prompt of one in {a}; evaluate both on the same "
            "items"
        )
    first, second = zip(*scores, strict=True)
    found = paired_difference(first, second, clusters if clustered else None)
    figures = {
        "a": sum(first) / len(first),
        "b": sum(second) / len(second),
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "smallest_visible": found.visible,
    }
    return {
        **{key: value and round(unit * value, 6) for key, value in figures.items()},
        "p": _digits(found.p),
        "n": len(scores),
        "left_out": {reason: count for reason, count in left_out.items() if count},
        **(_lower(first, second) | {"highest": highest} if highest else {}),
    }


def _lower(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """How two models' perplexities lie to each other as distributions."""
    share, low, high = (round(value, 6) for value in lower_on(first, second))
    lower = {"a": stochastically_lower(second, first), "b": stochastically_lower(first, second)}
    return {
        "lower": {"value": share, "low": low, "high": high},
        "stochastically_lower": next((who for who, holds in lower.items() if holds), None),
    }


def _digits(p: float) -> float:
    """Three significant digits: small p values are not 0."""
    return float(f"{p:.3g}")


def _items(path: Path, highest: float) -> dict[str, _Item]:
    """Items by id, in the file's order; one without a group is a cluster of its own."""
    found: dict[str, _Item] = {}
    for line, row in read_jsonl(path):
        record = row if isinstance(row, dict) else {}
        id, prompt, group = record.get("id"), record.get("prompt"), record.get("group")
        score = record.get("right", record.get("value", -1))
        known = score is None or (isinstance(score, int | float) and 0 <= score <= highest)
        if not (isinstance(id, str) and isinstance(prompt, str) and known):
            raise UserError(
                f"{path}, line {line}: lacks id, prompt or right (true, false or 0 to "
                f"{highest:g}); evaluate the model again"
            )
        if id in found:
            raise UserError(f"{path}, line {line}: {id[:100]!r} is there twice; remove one of them")
        found[id] = _Item(
            prompt,
            None if score is None else score / highest,
            id if group is None else str(group),
            tokens if isinstance(tokens := record.get("tokens"), int) else None,
        )
    return found


def words(result: dict[str, Any]) -> str:
    """The result of `compare` in lines for people."""
    lines = [f"A: {_line(result['a'])}", f"B: {_line(result['b'])}"]
    for name, found in result["benchmarks"].items():
        head = f"{_line(name)} ({_line(found['metric'])}, {found['n']:,} items)"
        times, unit = _shown_in(found)
        lines.append(
            f"{head}: A {times * found['a']:.1f}, B {times * found['b']:.1f}. "
            f"{_told(found, times, unit)}"
        )
        if "lower" in found:
            lines.append(f"  {_told_of_lower(found)}")
        reasons = [f"{count:,} {REASONS[why]}" for why, count in found["left_out"].items()]
        if reasons:
            lines.append(f"  left out: {', '.join(reasons)}")
    for who in ("a", "b"):
        lines += [f"{_line(name)}: only {who.upper()} has it" for name in result[f"only_{who}"]]
    count = len(result["benchmarks"])
    if count > 1:
        lines.append(
            f"Who is higher is said at 95 % for all {count} benchmarks together (Holm's "
            "correction); each interval is at 95 % by itself."
        )
    return "\n".join(lines)


def _shown_in(found: dict[str, Any]) -> tuple[float, str]:
    """By what scores are multiplied to be shown, and the unit of their differences."""
    return (1, "") if "highest" in found else (100, " points")


def _told(found: dict[str, Any], times: float, unit: str) -> str:
    difference, low, high = (times * found[name] for name in ("difference", "low", "high"))
    if found["p_holm"] < LEVEL:
        if difference < 0:
            return f"A is higher by {-difference:.1f}{unit} ({-high:.1f} to {-low:.1f})."
        return f"B is higher by {difference:.1f}{unit} ({low:.1f} to {high:.1f})."
    told = f"Cannot tell: B − A is {difference:+.1f}{unit} ({low:+.1f} to {high:+.1f})"
    visible = found["smallest_visible"]
    return f"{told}; so many items show {times * visible:.1f}{unit}." if visible else f"{told}."


def _told_of_lower(found: dict[str, Any]) -> str:
    share, low, high = (100 * found["lower"][name] for name in ("value", "low", "high"))
    who = found["stochastically_lower"]
    return (
        f"lower is better: B is lower on {share:.1f} % of items ({low:.1f} to {high:.1f}); on "
        f"these items {who.upper() if who else 'neither'} is stochastically lower"
    )


def _line(text: str) -> str:
    """Text of a file, safe to show in one line."""
    return str(tidy(" ".join(text.split())))
