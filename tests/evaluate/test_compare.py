"""Two evaluations are paired on items, and what cannot be told is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import UserError
from understudy.evaluate.compare import compare, words
from understudy.files import write_json, write_jsonl

HARNESS = {"task": "nq_open", "version": "4.0", "release": "0.4.13"}
Written = Callable[..., Path]


def records(right: list[Any], groups: int | None = None) -> list[dict[str, Any]]:
    rows = [{"id": f"nq/{i}", "prompt": f"{i:016x}", "right": r} for i, r in enumerate(right)]
    if groups:
        rows = [row | {"group": f"passage {i // groups}"} for i, row in enumerate(rows)]
    return rows


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes what `understudy evaluate` leaves: a folder with scores and items."""

    def write(name: str, prompting: str = "text", **benchmarks: Any) -> Path:
        folder = tmp_path / name
        scores = {}
        for benchmark, rows in benchmarks.items():
            scores[benchmark] = {"metric": "exact_match", "harness": HARNESS, "n": len(rows)}
            write_jsonl(folder / "items" / f"{benchmark}.jsonl", rows)
        content = {"model": f"models/{name}", "prompting": prompting, "benchmarks": scores}
        write_json(folder / "scores.json", content)
        return folder

    return write


def change(folder: Path, benchmark: str, **what: Any) -> None:
    from understudy.files import read_json

    scores = read_json(folder / "scores.json")
    scores["benchmarks"][benchmark] |= what
    write_json(folder / "scores.json", scores)


def test_the_difference_on_the_same_items(written: Written) -> None:
    a = written("base", nq=records([True] * 40 + [False] * 160))
    b = written("student", nq=records([True] * 36 + [False] * 4 + [True] * 24 + [False] * 136))
    found = compare(a, b)
    assert (found["a"], found["b"]) == ("models/base", "models/student")
    nq = found["benchmarks"]["nq"]
    assert (nq["a"], nq["b"], nq["difference"], nq["n"]) == (0.2, 0.3, 0.1, 200)
    assert nq["p"] == nq["p_holm"] == pytest.approx(0.000157, rel=0.01)  # McNemar: 20² / 28
    assert 0 < nq["low"] < 0.1 < nq["high"]
    assert nq["left_out"] == {}
    told = words(found)
    assert "nq (exact_match, 200 items): A 20.0, B 30.0. B is higher by 10.0 points (" in told
    assert "A is higher by 10.0 points (" in words(compare(b, a))


def test_items_are_paired_by_id_and_prompt(written: Written) -> None:
    ours = records([True, False, True, False, True])
    theirs = [row | {"right": True} for row in reversed(ours)]
    theirs[0] |= {"prompt": "another"}  # nq/4
    a = written("a", nq=[*ours, {"id": "nq/old", "prompt": "x", "right": True}])
    b = written("b", nq=theirs[:-1])  # without nq/0
    found = compare(a, b)["benchmarks"]["nq"]
    assert found["n"] == 3
    assert (found["a"], found["b"]) == (round(1 / 3, 6), 1)
    assert found["left_out"] == {"only_a": 2, "other_prompt": 1}
    assert "left out: 2 only in A, 1 with another prompt" in words(compare(a, b))


def test_what_cannot_be_told_is_said_with_what_could_be(written: Written) -> None:
    a = written("a", nq=records([True] * 5 + [False] * 45))
    b = written("b", nq=records([False] * 2 + [True] * 7 + [False] * 41))
    found = compare(a, b)
    nq = found["benchmarks"]["nq"]
    assert nq["low"] < 0 < nq["high"]
    assert nq["difference"] < nq["smallest_visible"] < 0.2
    assert "Cannot tell: B − A is +4.0 points (" in words(found)
    assert f"so many items show {100 * nq['smallest_visible']:.1f} points." in words(found)
    few = written("few", nq=records([True, False]))
    assert compare(few, few)["benchmarks"]["nq"]["smallest_visible"] is None
    assert "Cannot tell: B − A is +0.0 points (-65.8 to +65.8)." in words(compare(few, few))


def test_several_benchmarks_are_held_together(written: Written) -> None:
    """A difference that stands alone does not stand among five."""
    before = records([False] * 100)
    after = records([True] * 5 + [False] * 95)
    alone = compare(written("a", nq=before), written("b", nq=after))
    assert alone["benchmarks"]["nq"]["p"] < 0.05
    assert "B is higher" in words(alone)
    others = {f"own{i}": records([False] * 100) for i in range(4)}
    found = compare(
        written("a", nq=before, **others, gone=before),
        written("b", nq=after, **others, new=after),
    )
    nq = found["benchmarks"]["nq"]
    assert nq["p_holm"] == pytest.approx(5 * nq["p"], rel=0.01)
    assert nq["low"] > 0
    assert "B is higher" not in words(found)
    assert "for all 5 benchmarks together" in words(found)
    assert (found["only_a"], found["only_b"]) == (["gone"], ["new"])
    assert "gone: only A has it" in words(found)


def test_clusters_and_fractions(written: Written) -> None:
    shares = [i % 4 / 4 for i in range(120)]
    more = [min(1.0, share + 0.02 * (i // 12)) for i, share in enumerate(shares)]
    a, b = written("a", mc2=records(shares, 12)), written("b", mc2=records(more, 12))
    apart = compare(a, b)["benchmarks"]["mc2"]
    change(a, "mc2", clustered=True)
    together = compare(a, b)["benchmarks"]["mc2"]
    assert apart["difference"] == together["difference"] > 0
    assert together["high"] - together["low"] > 2 * (apart["high"] - apart["low"])


def test_toxicity_has_values_and_may_lack_some(written: Written) -> None:
    rows = [{"id": f"{i}", "prompt": "p", "value": i / 10} for i in range(6)]
    lacking = [row | ({"value": None} if row["id"] == "3" else {}) for row in rows]
    found = compare(written("a", toxic=rows), written("b", toxic=lacking))["benchmarks"]["toxic"]
    assert found["n"] == 5
    assert found["left_out"] == {"unscored": 1}


def perplexities(values: list[float], tokens: int = 7) -> list[dict[str, Any]]:
    return [
        {"id": str(i), "prompt": "p", "value": value, "tokens": tokens}
        for i, value in enumerate(values)
    ]


def test_perplexities_are_told_in_their_own_unit(written: Written) -> None:
    before = [10.0 + i % 30 for i in range(200)]
    a = written("a", truth=perplexities([*before, 100.0]))
    b = written("b", truth=perplexities([*(value - 4 for value in before), 100.0]))
    for folder in (a, b):
        change(folder, "truth", metric="perplexity", highest=100, lower_is_better=True)
    truth = compare(a, b)["benchmarks"]["truth"]
    assert truth["b"] - truth["a"] == pytest.approx(truth["difference"], abs=1e-5)
    assert truth["difference"] == pytest.approx(-4 * 200 / 201, abs=1e-6)
    assert truth["low"] < truth["difference"] < truth["high"] < 0
    assert truth["lower"]["value"] == pytest.approx(200.5 / 201, abs=1e-6)
    assert 0.97 < truth["lower"]["low"] < truth["lower"]["high"] <= 1
    assert truth["stochastically_lower"] == "b"
    told = words(compare(a, b))
    assert "truth (perplexity, 201 items): A 24.4, B 20.4. A is higher by 4.0 (" in told
    assert "lower is better: B is lower on 99.8 % of items (98.5 to 100.0)" in told
    assert "on these items B is stochastically lower" in told
    assert "points" not in told
    assert compare(b, a)["benchmarks"]["truth"]["stochastically_lower"] == "a"
    assert "neither is stochastically lower" in words(compare(a, a))


def test_perplexities_of_other_tokens_are_refused(written: Written) -> None:
    a, b = (written(name, truth=perplexities([2.0], n)) for name, n in (("a", 7), ("b", 9)))
    for folder in (a, b):
        change(folder, "truth", metric="perplexity", highest=100)
    with pytest.raises(UserError, match=r"the answer of '0' has 9 tokens, in the other 7; .*token"):
        compare(a, b)
    change(a, "truth", highest=50)
    with pytest.raises(UserError, match=r"truth: highest 100, in the other 50"):
        compare(a, b)
    change(a, "truth", highest=0)
    with pytest.raises(UserError, match=r"not the scores of an evaluation"):
        compare(a, b)


def test_what_cannot_be_compared_is_refused(written: Written, tmp_path: Path) -> None:
    a = written("a", nq=records([True, False]))
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        compare(a, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"has no benchmark that .* has \(nq\)"):
        compare(a, written("b", mmlu=records([True])))
    with pytest.raises(UserError, match=r"asked as chat, in the other text"):
        compare(a, written("b", prompting="chat", nq=records([True])))
    b = written("b", nq=[row | {"prompt": "other"} for row in records([True, True])])
    with pytest.raises(UserError, match=r"nq\.jsonl: no item has the id and the prompt"):
        compare(a, b)
    b = written("b", nq=records([True, True]))
    change(b, "nq", metric="corrected")
    with pytest.raises(UserError, match=r"nq: metric corrected, in the other exact_match"):
        compare(a, b)
    b = written("b", nq=records([True, True]))
    change(b, "nq", harness=None)
    with pytest.raises(UserError, match=r"nq: harness None, in the other"):
        compare(a, b)
    change(b, "nq", harness=HARNESS, scorer="another")
    with pytest.raises(UserError, match=r"nq: scorer"):
        compare(a, b)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "right": True},
        {"id": "1", "right": True},
        {"id": "1", "prompt": "p"},
        {"id": "1", "prompt": "p", "right": 1.5},
        {"id": "1", "prompt": "p", "right": float("nan")},
        {"id": "1", "prompt": "p", "right": "yes"},
        ["1"],
    ],
)
def test_a_broken_record_is_named(written: Written, row: Any) -> None:
    a = written("a", nq=records([True, False]))
    b = written("b", nq=[*records([True]), row])
    with pytest.raises(UserError, match=r"nq\.jsonl, line 2: lacks id, prompt or right"):
        compare(a, b)


def test_broken_folders_are_named(written: Written) -> None:
    a = written("a", nq=records([True, False]))
    b = written("b", nq=[*records([True]), *records([False])])
    with pytest.raises(UserError, match=r"line 2: 'nq/0' is there twice"):
        compare(a, b)
    (b / "items" / "nq.jsonl").unlink()
    with pytest.raises(UserError, match=r"nq\.jsonl: no such file"):
        compare(a, b)
    write_json(b / "scores.json", {"benchmarks": ["nq"]})
    with pytest.raises(UserError, match=r"scores\.json: not the scores of an evaluation"):
        compare(a, b)


def test_names_from_files_stay_in_their_line(written: Written) -> None:
    a = written("a", nq=records([True, False]))
    scores = {"model": "evil\n\x1b[2Jmodel", "prompting": "text", "benchmarks": {}}
    scores["benchmarks"] = {"nq": {"metric": "exact_match", "harness": HARNESS}}
    write_json(a / "scores.json", scores)
    told = words(compare(a, written("b", nq=records([True, True]))))
    assert "\x1b" not in told
    assert told.startswith("A: evil �[2Jmodel\n")
