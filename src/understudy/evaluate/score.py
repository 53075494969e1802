"""How answers of each kind are judged, item by item, and what they come to.

A record of an item has `id`, `prompt` (a digest of the item as it was put), `right` (true, false
or a share), `expected`, `given`, and what the verdict rests on. Metrics under the harness's names
equal the harness's, with its faults; where one is known, a `corrected` metric stands beside it.
"""

import math
import re
import string
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from understudy.evaluate.benchmarks.kinds import (
    HARNESS,
    LETTERS,
    Benchmark,
    ChoiceItem,
    CodeItem,
    Extract,
    Item,
    ShortItem,
)
from understudy.evaluate.engines import Engine, Pick, Programs, Words
from understudy.evaluate.sandbox import Outcome
from understudy.files import digest
from understudy.statistics import clustered_interval, mean_interval, pass_at_k

Record = dict[str, Any]

INVALID = "[invalid]"  # what the harness reads where its pattern finds nothing
KS = (1, 10, 100)  # of pass@k, as far as there are samples


def item_digest(item: Item) -> str:
    """Stands for an item with its prompt: equal digests, equal questions."""
    return digest(asdict(item))[:16]


def _record(item: Item, right: bool | float, seconds: float | None, **more: Any) -> Record:
    record: Record = {"id": item.id, "prompt": item_digest(item), "right": right}
    if item.group is not None:
        record["group"] = item.group
    record |= {name: value for name, value in more.items() if value is not None}
    return record if seconds is None else record | {"seconds": round(seconds, 4)}


def choice_record(benchmark: Benchmark, item: ChoiceItem, pick: Pick) -> Record:
    """A question with options."""
    verdicts = {metric: _weighed(metric, item, pick) for metric in benchmark.metrics}
    named = _named(item, pick)
    record = _record(
        item,
        verdicts[benchmark.metrics[0]],
        pick.seconds,
        expected="".join(LETTERS[index] for index in item.right),
        log_likelihoods=None if pick.log_likelihoods is None else list(pick.log_likelihoods),
        reply=pick.reply,
    )
    record["given"] = None if named is None else LETTERS[named]
    if pick.log_likelihoods is None and pick.reply is None:
        record["filtered"] = True
    return record | {metric: verdicts[metric] for metric in benchmark.metrics[1:]}


def _named(item: ChoiceItem, pick: Pick) -> int | None:
    """The option that was named, or else the likeliest, the first one of equals."""
    if pick.log_likelihoods is None:
        return pick.option
    return max(range(len(item.options)), key=pick.log_likelihoods.__getitem__)


def _weighed(metric: str, item: ChoiceItem, pick: Pick) -> bool | float:
    """One metric of one item; all are the same where an option was only named."""
    weights = pick.log_likelihoods
    if weights is None:
        return pick.option in item.right
    if metric == "mc2":  # Lin et al. 2022, "TruthfulQA" (arXiv 2109.07958), section 3.2
        most = max(weights)
        shares = [math.exp(weight - most) for weight in weights]
        return sum(shares[index] for index in item.right) / sum(shares)
    # The harness's acc_norm: a character, but for its delimiter. A teacher's are of letters.
    if metric == "accuracy_norm" and pick.option is None:
        lengths = [max(1, len(text.removeprefix(" "))) for text in item.continuations]
        weights = tuple(weight / n for weight, n in zip(weights, lengths, strict=True))
    return max(range(len(weights)), key=weights.__getitem__) in item.right


def short_record(benchmark: Benchmark, item: ShortItem, words: Words) -> Record:
    """A short answer, read and compared by each of the benchmark's rules."""
    (text,) = words.texts
    extracts = dict(benchmark.extracts)
    read = {metric: read_answer(extract, text or "") for metric, extract in extracts.items()}
    verdicts = {
        metric: text is not None
        and any(same_answer(extract, read[metric], answer) for answer in item.answers)
        for metric, extract in extracts.items()
    }
    first = benchmark.metrics[0]
    record = _record(
        item, verdicts[first], words.seconds, expected=list(item.answers), given=read[first]
    )
    if read[first] != text:
        record["reply"] = text
    if text is None:
        record["filtered"] = True
    record |= {metric: verdicts[metric] for metric in benchmark.metrics[1:]}
    if benchmark.corrected:
        record["corrected"] = text is not None and any(
            plain_form(read[first]) == plain_form(answer) for answer in item.answers
        )
    return record


def read_answer(extract: Extract, text: str) -> str:
    """The answer in a generated text, as the harness's filters read it."""
    if extract.pattern is None:
        return text.strip()
    found = re.findall(extract.pattern, text)
    if not found:
        return INVALID
    try:
        match = found[extract.match]
    except IndexError:
        return INVALID
    if isinstance(match, tuple):  # of several groups, the first that took part
        match = next((group for group in match if group), INVALID)
    return str(match).strip()


def same_answer(extract: Extract, given: str, answer: str) -> bool:
    """Whether two answers are the same to the harness's `exact_match`.

    Its patterns are taken out before case is ignored; space at the end makes answers differ.
    """
    return _harness_form(extract, given) == _harness_form(extract, answer)


def _harness_form(extract: Extract, text: str) -> str:
    for pattern in extract.ignored:
        text = re.sub(pattern, "", text)
    text = text.lower() if extract.ignore_case else text
    return text.translate(_PUNCTUATION) if extract.ignore_punctuation else text


_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def plain_form(text: str) -> str:
    """An answer without case, punctuation, articles (as words) and surplus space.

    The usual normalisation (Rajpurkar et al. 2016, "SQuAD", section 6.1); our `corrected`.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def code_record(item: CodeItem, written: Programs, ends: Sequence[Sequence[Outcome]]) -> Record:
    """Programs and how each ended: as the harness reads it, and in its corrected reading; none for
    what the provider's filter withheld."""
    outcomes = [end[0] if end else None for end in ends]
    corrected = [end[-1] if end else None for end in ends]
    passed = sum(outcome is not None and outcome.passed for outcome in outcomes)
    record = _record(
        item,
        bool(passed) if len(outcomes) == 1 else passed / len(outcomes),
        written.seconds,
        expected="passes its test",
    )
    record["given"] = _one(["" if p is None else p.reply for p in written.programs])
    record["why"] = _one(["withheld" if o is None else o.why for o in outcomes])
    if len(outcomes) > 1:
        record |= {"samples": len(outcomes), "passed": passed}
    if None in written.programs:
        record["filtered"] = True
    if any(p is not None and p.corrected is not None for p in written.programs):
        right = sum(outcome is not None and outcome.passed for outcome in corrected)
        record["corrected"] = bool(right) if len(corrected) == 1 else right / len(corrected)
        record["corrected_why"] = _one(["withheld" if o is None else o.why for o in corrected])
    return record


def _one(values: list[str]) -> str | list[str]:
    """A single sample's value stands by itself."""
    return values[0] if len(values) == 1 else values


def score_of(benchmark: Benchmark, records: Sequence[Record], engine: Engine) -> dict[str, Any]:
    """What an engine's records come to: the first metric with its 95 % interval, and the others
    under `metrics`; `groups` and `categories` where there are any.

    `over_groups` is the first metric with an interval for other groups of the kind, where the usual
    one is for other items of these groups.
    """
    as_text = engine.prompting == "text"
    as_harness = as_text and engine.spent is None  # which weighs every option, as no API does
    name, task = benchmark.metrics[0], benchmark.harness
    first = f"pass@{KS[0]}" if benchmark.kind == "code" else name
    score: dict[str, Any] = {"metric": first, "kind": benchmark.kind}
    score |= _share(records, "right", benchmark.clustered)
    others: dict[str, Any] = {
        metric: _share(records, metric, benchmark.clustered) for metric in benchmark.metrics[1:]
    }
    if any("corrected" in record for record in records):
        score["corrected"] = _share(records, "corrected", benchmark.clustered)
    if benchmark.kind == "code":
        others |= _passes(records)
    groups = _by_group(records)
    named = {"task": task.partition(" ")[0], "version": task.partition(" ")[2]} if task else None
    score |= {
        "metrics": others,
        "shots": benchmark.shots if as_text else 0,
        "chance": benchmark.chance,
        "clustered": benchmark.clustered,
        "harness": named | {"release": HARNESS} if named and as_harness else None,
        "groups": {group: _share(rows, "right") for group, rows in groups.items()},
    }
    if len(groups) > 1 and not benchmark.clustered:
        score["over_groups"] = _share(records, "right", clustered=True)
    categories: dict[str, list[Record]] = defaultdict(list)
    for group, category in benchmark.categories:
        categories[category] += groups.get(group, [])
    score["categories"] = {
        category: _share(rows, "right", benchmark.clustered)
        for category, rows in categories.items()
        if rows
    }
    filtered = sum("filtered" in record for record in records)
    unreadable = sum(r.get("given") is None and "filtered" not in r for r in records)
    notes = {"unreadable": unreadable, "filtered": filtered}
    return score | {note: count for note, count in notes.items() if count}


def _by_group(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups = defaultdict(list)
    for record in records:
        if "group" in record:
            groups[record["group"]].append(record)
    return groups


def _passes(records: Sequence[Record]) -> dict[str, Any]:
    """pass@k for the k that the samples allow, beyond the first."""
    samples = min((record.get("samples", 1) for record in records), default=1)
    found = {}
    for k in KS[1:]:
        if k <= samples:
            values = [pass_at_k(r["samples"], r["passed"], k) for r in records]
            found[f"pass@{k}"] = _interval(values, mean_interval(values))
    return found


def _share(records: Sequence[Record], name: str, clustered: bool = False) -> dict[str, Any]:
    """A metric's mean over records with its 95 % interval; where a record lacks it, `right`."""
    values = [record[name] if name in record else record["right"] for record in records]
    if clustered:
        groups = [record.get("group") for record in records]
        return _interval(values, clustered_interval(values, groups))
    return _interval(values, mean_interval(values))


def _interval(values: Sequence[float], bounds: tuple[float, float]) -> dict[str, Any]:
    mean = sum(values) / len(values) if values else 0.0
    return {
        "score": round(mean, 6),
        "low": round(bounds[0], 6),
        "high": round(bounds[1], 6),
        "n": len(values),
    }
