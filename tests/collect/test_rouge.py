"""The near-duplicate filter decides as a plain loop with the rouge_score package decides."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from understudy.collect import rouge
from understudy.collect.rouge import NearDuplicates, f_measure, least_common, tokenize

SCORER = RougeScorer(["rougeL"], use_stemmer=False)


def plain(texts: list[str], threshold: float) -> list[tuple[float, str] | None]:
    """For each text the kept one nearest to it, if that is over the threshold."""
    kept: list[str] = []
    found: list[tuple[float, str] | None] = []
    for text in texts:
        best: tuple[float, str] | None = None
        for other in kept:
            score = float(SCORER.score(other, text)["rougeL"].fmeasure)
            if score > (best[0] if best else threshold):
                best = (score, other)
        found.append(best)
        if best is None:
            kept.append(text)
    return found


def filtered(texts: list[str], threshold: float) -> list[tuple[float, str] | None]:
    pool = NearDuplicates(threshold)
    found: list[tuple[float, str] | None] = []
    for text in texts:
        found.append(pool.nearest(text))
        if found[-1] is None:
            pool.add(text)
    assert len(pool) == found.count(None)
    return found


# Few words and short texts put many pairs at the threshold itself, such as 7 of 10 in common.
WORDS = ("a", "b", "c", "d", "e", "A,", "B-c", "é", "7", "ſ")
FEW_WORDS = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
ANY_TEXT = st.text(alphabet=st.sampled_from("aAbİK é\n.-07_中"), max_size=30)
THRESHOLDS = st.sampled_from([0.7, 0.7, 0.0, 0.5, 2 / 3, 0.8, 6 / 7, 0.9, 1.0])


@settings(max_examples=300)
@given(st.lists(st.one_of(FEW_WORDS, ANY_TEXT), max_size=25), THRESHOLDS, st.integers(1, 8))
def test_decides_as_rouge_score_does(texts: list[str], threshold: float, first: int) -> None:
    before, rouge.FIRST_ORDER = rouge.FIRST_ORDER, first  # so that the order is made anew often
    try:
        assert filtered(texts, threshold) == plain(texts, threshold)
    finally:
        rouge.FIRST_ORDER = before


def test_decides_as_rouge_score_does_on_many_near_repeats() -> None:
    rng = random.Random(0)
    words = [f"w{i}" for i in range(40)]
    texts = []
    for _ in range(250):
        if texts and rng.random() < 0.6:
            changed = rng.choice(texts).split()
            for _ in range(rng.randint(1, 6)):
                changed[rng.randrange(len(changed))] = rng.choice(words)
        else:
            changed = [words[int(40 * rng.random() ** 3)] for _ in range(rng.randint(1, 25))]
        texts.append(" ".join(changed))
    found = filtered(texts, 0.7)
    assert found == plain(texts, 0.7)
    assert 50 < found.count(None) < 200


@pytest.mark.parametrize("m", range(7, 14))
def test_rounding_at_the_threshold_is_that_of_rouge_score(m: int) -> None:
    """F is 0.7 in exact arithmetic: 7 in common of m + n = 20; floats fall on either side."""
    kept, text = (
        " ".join([*"abcdefg", *[rest] * (k - 7)]) for k, rest in ((m, "x"), (20 - m, "y"))
    )
    assert filtered([kept, text], 0.7) == plain([kept, text], 0.7)


@given(st.text())
def test_tokens_are_those_of_rouge_score(text: str) -> None:
    assert tokenize(text) == SCORER._tokenizer.tokenize(text)


@given(st.integers(1, 60), st.integers(1, 60), THRESHOLDS)
def test_least_common_is_the_first_over_the_threshold(m: int, n: int, threshold: float) -> None:
    over = [c for c in range(1, min(m, n) + 1) if f_measure(c, m, n) > threshold]
    assert least_common(m, n, threshold) == (over[0] if over else min(m, n) + 1)
    assert f_measure(0, m, n) == 0


def test_nearest_names_the_earliest_of_the_most_similar() -> None:
    pool = NearDuplicates(0.5)
    for text in ("a b c d x", "a b c d e", "e a b c d", "nothing like it"):
        pool.add(text)
    assert pool.nearest("A b, c d!") == (pytest.approx(8 / 9), "a b c d x")
    assert pool.nearest("a b c d e") == (1.0, "a b c d e")
    assert pool.nearest("") is None
    assert pool.nearest("中文") is None


@pytest.mark.realdata
def test_decides_as_rouge_score_does_on_real_instructions(realdata: Path) -> None:
    rows = json.loads((realdata / "alpaca_en_demo.json").read_text())
    texts = [row["instruction"] for row in rows][:250]
    found = filtered(texts, 0.5)
    assert found == plain(texts, 0.5)
    assert found.count(None) < len(texts)
