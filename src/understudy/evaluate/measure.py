"""One benchmark put to one engine, item by item, what is known already left out."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import Benchmark, CodeItem, Item, ToxicityItem
from understudy.evaluate.engines import Engine, Losses, Pick, Program, Programs, Sampling, Words
from understudy.evaluate.journal import Journal
from understudy.evaluate.perplexity import perplexity_record, perplexity_score
from understudy.evaluate.sandbox import Outcome, Trial, run_trials
from understudy.evaluate.score import (
    Record,
    choice_record,
    code_record,
    item_digest,
    score_of,
    short_record,
)
from understudy.evaluate.toxicity import Scorer
from understudy.evaluate.toxicity.measure import toxicity_record, toxicity_score
from understudy.files import digest
from understudy.progress import progress

AnswerT = TypeVar("AnswerT", Pick, Words, Programs, Losses)


def measure(
    benchmark: Benchmark,
    items: Sequence[Any],
    engine: Engine,
    how: Sampling,
    journal: Journal,
    scorer: Scorer | None,
) -> list[Record]:
    """Put a benchmark to an engine; a record an item, in their order.

    Args:
        benchmark: which.
        items: what is asked.
        engine: who is asked.
        how: programs and continuations are drawn.
        journal: of this benchmark, engine and sampling.
        scorer: of toxicity, for a benchmark of that kind.
    """
    # What is paid for is in the ledger: asked again, it costs nothing, and its cost is known.
    kept = journal if engine.spent is None else None
    if benchmark.kind == "choice":
        todo, picks = _known(items, kept, Pick)
        _ask(todo, items, picks, kept, engine.choose(benchmark, [items[i] for i in todo]))
        return [choice_record(benchmark, item, picks[i]) for i, item in enumerate(items)]
    if benchmark.kind == "short":
        todo, words = _known(items, kept, Words)
        _ask(todo, items, words, kept, engine.answer_shortly(benchmark, [items[i] for i in todo]))
        return [short_record(benchmark, item, words[i]) for i, item in enumerate(items)]
    if benchmark.kind == "code":
        todo, programs = _known(items, kept, Programs)
        asked = engine.write_programs(benchmark, [items[i] for i in todo], how)
        _ask(todo, items, programs, kept, asked)
        return _run([(item, programs[i]) for i, item in enumerate(items)], journal)
    if benchmark.kind == "perplexity":
        todo, losses = _known(items, kept, Losses)
        _ask(todo, items, losses, kept, engine.read_answers(benchmark, [items[i] for i in todo]))
        return [perplexity_record(item, losses[i]) for i, item in enumerate(items)]
    assert scorer is not None
    todo, words = _known(items, kept, Words)
    _ask(todo, items, words, kept, engine.go_on([items[i].prompt for i in todo], how))
    return _weigh([(item, words[i]) for i, item in enumerate(items)], scorer, journal)


def score(
    benchmark: Benchmark, records: Sequence[Record], engine: Engine, scorer: Scorer | None
) -> dict[str, Any]:
    """What the records of `measure` come to, with 95 % intervals.

    Args:
        benchmark, engine, scorer: as there.
        records: some or all of them.
    """
    if benchmark.kind == "perplexity":
        return perplexity_score(records)
    if benchmark.kind != "toxicity":
        return score_of(benchmark, records, engine)
    assert scorer is not None
    return toxicity_score(records, scorer.name)


def _key(item: Item) -> str:
    return f"{item.id} {item_digest(item)}"


def _known(
    items: Sequence[Item], journal: Journal | None, kind: type[AnswerT]
) -> tuple[list[int], dict[int, AnswerT]]:
    """Which items are still to be asked, and the answers to the others."""
    kept = journal.known("answer") if journal else {}
    read = TypeAdapter(kind).validate_python
    found = {i: read(kept[key]) for i, key in enumerate(map(_key, items)) if key in kept}
    return [i for i in range(len(items)) if i not in found], found


def _ask(
    todo: Sequence[int],
    items: Sequence[Item],
    answers: dict[int, AnswerT],
    journal: Journal | None,
    asked: Iterator[tuple[int, AnswerT]],
) -> None:
    """Take answers as they come; each is kept before the next is waited for."""
    if not todo:
        return
    for place, answer in asked:
        index = todo[place]
        answers[index] = answer
        if journal:
            journal.add("answer", _key(items[index]), asdict(answer))


def _run(written: Sequence[tuple[CodeItem, Programs]], journal: Journal) -> list[Record]:
    """Run programs, and their corrected readings where these differ; the same text once."""
    trials: dict[str, Trial] = {}
    for item, programs in written:
        for program in programs.programs:
            for source in _readings(program):
                trials[_trial_key(item, source)] = Trial(
                    source, item.prompt, item.test, item.entry_point
                )
    ended = {key: Outcome(**value) for key, value in journal.known("outcome").items()}
    todo = [key for key in trials if key not in ended]
    try:
        for place, outcome in run_trials([trials[key] for key in todo], "running programs"):
            ended[todo[place]] = outcome
            journal.add("outcome", todo[place], asdict(outcome))
    except RuntimeError as error:
        raise UserError(f"{error}; the same command goes on with the other programs") from error
    return [
        code_record(
            item,
            programs,
            [
                [ended[_trial_key(item, source)] for source in _readings(program)]
                for program in programs.programs
            ],
        )
        for item, programs in written
    ]


def _readings(program: Program | None) -> list[str]:
    """A program as the harness reads it, and its corrected reading, which may be the same."""
    return [program.source, program.corrected or program.source] if program else []


def _trial_key(item: CodeItem, source: str) -> str:
    return f"{_key(item)} {digest(source)}"


def _weigh(
    continued: Sequence[tuple[ToxicityItem, Words]], scorer: Scorer, journal: Journal
) -> list[Record]:
    """Have continuations scored, prompt by prompt."""
    kept = journal.known(f"toxicity {scorer.identity}")
    records = []
    with progress(f"scoring by {scorer.name}", len(continued)) as task:
        for item, words in continued:
            key = f"{_key(item)} {digest(list(words.texts))}"
            if key not in kept:
                journal.add(f"toxicity {scorer.identity}", key, scorer.scores(words.texts))
            record = toxicity_record(item, words.texts, kept[key])
            if words.seconds is not None:
                record["seconds"] = round(words.seconds, 4)
            records.append(record)
            task.advance()
    return records
