"""The distance from known habits, against plain loops."""

import random
import statistics

import numpy as np
import pytest

from understudy.statistics import resamples
from understudy.style.distance import (
    COMPARISONS,
    LEAST,
    MEASURES,
    habits,
    measure,
    style_distance,
    unigram_intersection,
)
from understudy.style.profile import profile

PLAIN = "It is good. It works."
LISTED = "Sure!\n\n- plan it\n- do it\n\nOverall, it is good.\n\nLet me know if I can help."


def answers(rng: random.Random, prompts: int, listed: float) -> list[str]:
    return [
        (LISTED if rng.random() < listed else PLAIN) + " word" * rng.randint(0, 9)
        for _ in range(prompts)
    ]


def measured(texts: list[str], teacher: list[str], weights: np.ndarray) -> np.ndarray:
    profiles = [profile(text) for text in teacher]
    own = habits(profiles, profiles)
    return measure(habits([profile(text) for text in texts], profiles), own, weights)


def test_unigram_intersection() -> None:
    assert unigram_intersection(["a", "a", "b"], ["a", "b", "b"]) == pytest.approx(4 / 6)
    assert unigram_intersection(["a"], []) == 0
    assert unigram_intersection([], []) == 1


def test_measures_against_plain_loops() -> None:
    rng = random.Random(0)
    teacher, model = answers(rng, 60, 0.6), answers(rng, 60, 0.5)
    value = dict(zip(MEASURES, measured(model, teacher, np.ones((1, 60)))[0], strict=True))
    pairs = [(profile(m), profile(t)) for m, t in zip(model, teacher, strict=True)]
    lists = [m.has_list for m, t in pairs if t.has_list]
    assert value["list_when_teacher_lists"] == pytest.approx(statistics.mean(lists))
    lengths = [len(m.words) for m, _ in pairs], [len(t.words) for _, t in pairs]
    assert value["length_correlation"] == pytest.approx(statistics.correlation(*lengths))
    overlap = [unigram_intersection(m.words, t.words) for m, t in pairs]
    assert value["unigram_intersection"] == pytest.approx(statistics.mean(overlap))
    assert value["closings"] == pytest.approx(statistics.mean(m.closing for m, _ in pairs))
    assert value["hedges"] == pytest.approx(statistics.mean(m.hedges for m, _ in pairs))


def test_resampled_rows_equal_resampled_data() -> None:
    rng = random.Random(1)
    teacher, model = answers(rng, 30, 0.6), answers(rng, 30, 0.3)
    weights = resamples(30, 3)[:5]
    rows = measured(model, teacher, weights)
    for row, counts in zip(rows, weights.astype(int), strict=True):
        again = [n for n, count in enumerate(counts) for _ in range(count)]
        drawn = measured([model[n] for n in again], [teacher[n] for n in again], np.ones((1, 30)))
        np.testing.assert_allclose(row, drawn[0], atol=1e-9)


def test_the_teacher_is_at_distance_nought_and_habits_bring_nearer() -> None:
    rng = random.Random(2)
    teacher = answers(rng, 80, 0.8)
    weights = np.ones((1, 80))
    reference = measured(teacher, teacher, weights)
    mixtures = [[*teacher[:n], *[PLAIN] * (80 - n)] for n in (0, 20, 40, 60, 80)]
    found = [style_distance(measured(m, teacher, weights), reference)[0] for m in mixtures]
    assert found[-1] == pytest.approx(0, abs=1e-9)
    assert found == sorted(found, reverse=True)
    assert 0 < found[0] <= 1


def test_distance_by_hand() -> None:
    teacher = np.array([[1, 1, 1, 1, 0.5, 0.5, 1, 1, 1, 0, 0]])
    model = np.array([[0.4, np.nan, 0.2, -0.6, 0.1, 0.9, 1, 0, 1, 0.3, 0]])
    shortfalls = [0.6, 0.8, 0.8, 0.4, 0.4, 0, 1, 0, 0.3, 0]
    assert style_distance(model, teacher)[0] == pytest.approx(statistics.mean(shortfalls))


def test_always_listing_does_not_pay() -> None:
    rng = random.Random(3)
    teacher = answers(rng, 100, 0.3)
    weights = np.ones((1, 100))
    reference = measured(teacher, teacher, weights)
    second = style_distance(measured(answers(rng, 100, 0.3), teacher, weights), reference)
    always = style_distance(measured([LISTED] * 100, teacher, weights), reference)
    assert always > second


def test_what_the_teacher_never_does_is_left_out() -> None:
    few = [LISTED] * (LEAST - 1) + [PLAIN] * 10
    rows = measured([PLAIN] * len(few), few, resamples(len(few), 0))
    assert np.isnan(rows[:, :2]).all()
    same = measured([LISTED, PLAIN], [PLAIN, PLAIN], np.ones((1, 2)))
    assert np.isnan(same[0, : len(COMPARISONS)]).tolist() == [True, True, False, True]
    assert not np.isnan(same[0, len(COMPARISONS) :]).any()


def test_empty_models_have_a_distance() -> None:
    teacher = answers(random.Random(4), 20, 0.7)
    weights = resamples(20, 0)
    reference = measured(teacher, teacher, weights)
    rows = style_distance(measured([""] * 20, teacher, weights), reference)
    assert np.isfinite(rows).all()
    assert rows[0] > 0.3
