"""How each kind of benchmark is put to an engine and scored, item by item.

A record of an item has `id`, `right`, `expected`, `given`, and what the verdict rests on. Metrics
under the harness's names equal the harness's, with its faults; where one is known, a `corrected`
metric stands beside it.
"""

import re
import string
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from understudy.evaluate.benchmarks.kinds import (
    LETTERS,
    Benchmark,
    ChoiceItem,
    CodeItem,
    ShortItem,
)
from understudy.evaluate.engines import Engine
from understudy.evaluate.sandbox import run_programs
from understudy.statistics import wilson

Record = dict[str, Any]


def measure(
    benchmark: Benchmark, items: Sequence[Any], engine: Engine, max_tokens: int
) -> tuple[list[Record], dict[str, Any]]:
    """Put a benchmark to an engine.

    Args:
        benchmark: which.
        items: what is asked.
        engine: who is asked.
        max_tokens: longest program.

    Returns:
        A record an item, in their order, and the score with its 95 % interval.
    """
    if benchmark.kind == "choice":
        records = _choices(benchmark, items, engine)
    elif benchmark.kind == "short":
        records = _short_answers(benchmark, items, engine)
    else:
        records = _programs(benchmark, items, engine, max_tokens)
    return records, _score(benchmark, records, engine)


def _choices(benchmark: Benchmark, items: Sequence[ChoiceItem], engine: Engine) -> list[Record]:
    records = []
    for item, pick in zip(items, engine.choose(benchmark, items), strict=True):
        record: Record = {
            "id": item.id,
            "right": pick.option == item.right,
            "expected": LETTERS[item.right],
            "given": None if pick.option is None else LETTERS[pick.option],
            "group": item.group,
        }
        if pick.log_likelihoods is not None:
            record["log_likelihoods"] = pick.log_likelihoods
        else:
            record |= {"filtered": True} if pick.reply is None else {"reply": pick.reply}
        records.append(record)
    return records


def _short_answers(
    benchmark: Benchmark, items: Sequence[ShortItem], engine: Engine
) -> list[Record]:
    records = []
    for item, reply in zip(items, engine.answer_shortly(benchmark, items), strict=True):
        given = "" if reply is None else reply.lstrip()  # as the harness's filter does
        record = {
            "id": item.id,
            "right": any(harness_form(given) == harness_form(a) for a in item.answers),
            "corrected": any(plain_form(given) == plain_form(a) for a in item.answers),
            "expected": list(item.answers),
            "given": given,
        }
        records.append(record | ({"filtered": True} if reply is None else {}))
    return records


def _programs(
    benchmark: Benchmark, items: Sequence[CodeItem], engine: Engine, max_tokens: int
) -> list[Record]:
    programs = engine.write_programs(benchmark, items, max_tokens)
    sources = []
    for item, program in zip(items, programs, strict=True):
        if program:
            test = f"\n{item.test}\ncheck({item.entry_point})"
            readings = [program.source, program.corrected or program.source]
            sources += [reading + test for reading in readings]
    distinct = list(dict.fromkeys(sources))
    outcomes = dict(zip(distinct, run_programs(distinct, "running programs"), strict=True))
    ran = iter([outcomes[source] for source in sources])
    records = []
    for item, program in zip(items, programs, strict=True):
        record: Record = {"id": item.id, "right": False, "expected": "passes its test"}
        if program is None:
            records.append(record | {"given": "", "why": "withheld", "filtered": True})
            continue
        outcome, corrected = next(ran), next(ran)
        record |= {"right": outcome.passed, "given": program.reply, "why": outcome.why}
        if program.corrected is not None:
            record |= {"corrected": corrected.passed, "corrected_why": corrected.why}
        records.append(record)
    return records


# lm-evaluation-harness 0.4.13, nq_open.yaml, regexes_to_ignore; taken out before case is ignored.
_HARNESS_ARTICLES = re.compile(r"\b(?:The |the |An |A |The |a |an )")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def harness_form(text: str) -> str:
    """An answer as the harness compares it: its `exact_match` with case and punctuation ignored.

    Space at the end, and articles in capitals or before other space, make answers differ.
    """
    return _HARNESS_ARTICLES.sub("", text).lower().translate(_PUNCTUATION)


def plain_form(text: str) -> str:
    """An answer without case, punctuation, articles (as words) and surplus space.

    The usual normalisation (Rajpurkar et al. 2016, "SQuAD", section 6.1); our `corrected`.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _score(benchmark: Benchmark, records: list[Record], engine: Engine) -> dict[str, Any]:
    as_text = engine.prompting == "text"
    score: dict[str, Any] = {"metric": benchmark.metric, **_share(r["right"] for r in records)}
    score |= {
        "shots": benchmark.shots if as_text else 0,
        "chance": benchmark.chance,
        "harness": benchmark.harness if as_text else None,
    }
    groups = defaultdict(list)
    for record in records:
        if "group" in record:
            groups[record["group"]].append(record["right"])
    score["groups"] = {group: _share(right) for group, right in groups.items()}
    if any("corrected" in record for record in records):
        score["corrected"] = _share(bool(r.get("corrected", r["right"])) for r in records)
    filtered = sum("filtered" in record for record in records)
    unreadable = sum(r["given"] is None and "filtered" not in r for r in records)
    notes = {"unreadable": unreadable, "filtered": filtered}
    return score | {name: count for name, count in notes.items() if count}


def _share(right: Iterable[bool]) -> dict[str, Any]:
    """The share of right answers with its 95 % interval (Wilson's)."""
    verdicts = list(right)
    count = sum(verdicts)
    low, high = wilson(count, len(verdicts))
    share = count / len(verdicts) if verdicts else 0.0
    return {
        "score": round(share, 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "n": len(verdicts),
    }
