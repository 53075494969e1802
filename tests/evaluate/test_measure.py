"""What is known is not asked again, item by item, whatever it was that died."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluate.canned import Canned, Counting, Runs
from understudy.evaluate import measure as measuring
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.engines import Sampling
from understudy.evaluate.journal import Journal
from understudy.evaluate.measure import measure, score
from understudy.evaluate.score import Record, item_digest
from understudy.files import read_jsonl
from understudy.teacher.client import Cost

# Items of the small files.
KINDS = {"mmlu": 6, "nq": 8, "humaneval": 2, "realtoxicity": 4, "truth": 3}
TWICE = Sampling(samples=2, temperature=1.0)


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    found = Runs()
    monkeypatch.setattr(measuring, "run_trials", found)
    return found


class Bench:
    """Measures benchmarks of one folder; what is kept lies in `path`."""

    def __init__(self, data: Path, path: Path) -> None:
        self.data, self.path = data, path

    def items(self, name: str, limit: int | None = None) -> list[Any]:
        return find_benchmark(name).items(self.data, limit)

    def records(
        self,
        name: str,
        engine: Canned,
        items: list[Any] | None = None,
        how: Sampling = TWICE,
        scorer: Counting | None = None,
    ) -> list[Record]:
        scorer = scorer or Counting()
        with Journal(self.path, "k") as journal:
            items = self.items(name) if items is None else items
            return measure(find_benchmark(name), items, engine, how, journal, scorer)

    def kept(self, kind: str) -> list[str]:
        """The items that the file has a value for, in its order."""
        rows = [row for _, row in read_jsonl(self.path)]
        return [row["item"] for row in rows[1:] if row["kind"].startswith(kind)]


@pytest.fixture
def bench(data: Path, tmp_path: Path) -> Bench:
    return Bench(data, tmp_path / "part.jsonl")


@pytest.mark.parametrize("name", KINDS)
def test_an_engine_that_dies_is_asked_only_for_the_rest(
    bench: Bench, name: str, tmp_path: Path
) -> None:
    calm = Canned()
    whole = Bench(bench.data, tmp_path / "whole.jsonl").records(name, calm)
    assert len(whole) == len(calm.asked) == KINDS[name]
    assert [record["id"] for record in whole] == [item.id for item in bench.items(name)]

    first, second, third = Canned(dies_after=1), Canned(), Canned()
    with pytest.raises(KeyboardInterrupt):
        bench.records(name, first)
    assert bench.records(name, second) == whole
    assert [*first.asked, *second.asked] == calm.asked
    assert bench.records(name, third) == whole
    assert third.asked == []


@pytest.mark.parametrize("name", KINDS)
def test_records_stand_for_the_item_as_it_was_put(bench: Bench, name: str) -> None:
    records = bench.records(name, Canned())
    assert [record["prompt"] for record in records] == list(map(item_digest, bench.items(name)))
    assert all(record["seconds"] > 0 for record in records)


def test_programs_that_ended_are_not_run_again(bench: Bench, runs: Runs) -> None:
    runs.dies_after = 2
    with pytest.raises(KeyboardInterrupt):
        bench.records("humaneval", Canned())
    runs.dies_after, engine = None, Canned()
    records = bench.records("humaneval", engine)
    assert engine.asked == []
    # ADD once, DOUBLE in two readings: the samples of an item are the same here.
    assert len(runs.asked) == len(set(runs.asked)) == len(bench.kept("outcome")) == 3
    assert [(r["right"], r.get("corrected")) for r in records] == [(1.0, None), (0.0, 1.0)]
    assert records[1]["why"] == ["IndentationError"] * 2


def test_toxicity_that_was_scored_is_not_scored_again(bench: Bench) -> None:
    dying = Counting(dies_after=3)
    with pytest.raises(KeyboardInterrupt):
        bench.records("realtoxicity", Canned(), scorer=dying)
    engine, scorer = Canned(), Counting()
    records = bench.records("realtoxicity", engine, scorer=scorer)
    assert (engine.asked, len(scorer.asked)) == ([], 1)
    assert [record["value"] for record in records] == [0.4] * 4  # of " and on."
    assert score(find_benchmark("realtoxicity"), records, engine, scorer)["score"] == 0.4

    other = Counting()
    other.identity = "counting-2"
    assert bench.records("realtoxicity", engine, scorer=other) == records
    assert (engine.asked, len(other.asked)) == ([], 4)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_paid_for_is_left_to_its_ledger(bench: Bench, name: str) -> None:
    samples = 2 if name in ("humaneval", "realtoxicity") else 1
    for _ in range(2):
        engine = Canned(spent=Cost())
        bench.records(name, engine)
        assert engine.spent
        assert engine.spent.calls == samples * KINDS[name]  # the ledger says what they were
    assert bench.kept("answer") == []
    assert len(bench.kept("outcome")) == (3 if name == "humaneval" else 0)
    assert len(bench.kept("toxicity")) == (4 if name == "realtoxicity" else 0)


def test_only_an_item_that_is_put_otherwise_is_asked_again(bench: Bench) -> None:
    items = bench.items("mmlu")
    bench.records("mmlu", Canned(), items)
    items[2] = replace(items[2], prompt=items[2].prompt + " ")
    items[3] = replace(items[3], right=(0,))
    engine = Canned()
    records = bench.records("mmlu", engine, items)
    assert engine.asked == [items[3].id, items[2].id]
    assert records[3]["right"] is True


def test_a_raised_limit_asks_only_for_the_new_items(bench: Bench) -> None:
    for limit, new in ((2, 2), (5, 3), (3, 0), (None, 1)):
        engine, items = Canned(), bench.items("mmlu", limit)
        assert len(bench.records("mmlu", engine, items)) == (limit or 6)
        assert len(engine.asked) == new
