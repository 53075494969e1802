"""Near-duplicates: found at known likeness, dropped only for a kept text that they are near to."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.curate import near as module
from understudy.curate.minhash import signatures
from understudy.curate.near import bands_for, jaccard, near_duplicates
from understudy.curate.shingles import shingles, words

VOCABULARY = [f"w{number}" for number in range(5000)]


def exact(one: str, other: str) -> float:
    """Jaccard likeness of two texts of 5 words at least, by plain sets."""
    a, b = runs(one), runs(other)
    return len(a & b) / len(a | b)


def runs(text: str) -> set[tuple[str, ...]]:
    parts = text.split()
    return {tuple(parts[at : at + 5]) for at in range(len(parts) - 4)}


class Reader:
    """Gives texts back and counts them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts, self.read = texts, 0

    def __call__(self, places: np.ndarray) -> list[str]:
        self.read += len(places)
        return [self.texts[place] for place in places.tolist()]


def find(
    texts: Sequence[str],
    rank: Sequence[int] | None = None,
    threshold: float = 0.8,
    read: Callable[[np.ndarray], list[str]] | None = None,
) -> tuple[list[int], list[float]]:
    rows = signatures(shingles(words(texts)))
    order = np.arange(len(texts)) if rank is None else np.array(rank)
    copy_of, likeness = near_duplicates(rows, order, threshold, read or Reader(texts))
    assert (copy_of.dtype, likeness.dtype) == (np.int64, np.float32)
    return copy_of.tolist(), likeness.tolist()


def made(rng: random.Random, size: int = 120) -> str:
    return " ".join(rng.choices(VOCABULARY, k=size))


def with_changes(text: str, changes: int, rng: random.Random) -> str:
    """So many words replaced, far enough apart that each breaks five shingles."""
    parts = text.split()
    for place in rng.sample(range(5, len(parts) - 5, 6), changes):
        parts[place] = "changed"
    return " ".join(parts)


def assert_sound(
    texts: Sequence[str], rank: Sequence[int], copy_of: list[int], likeness: list[float]
) -> None:
    """Whoever is dropped is near to a better one that is kept; the likeness is the exact one."""
    for place, other in enumerate(copy_of):
        if other < 0:
            assert likeness[place] == 0
        else:
            assert copy_of[other] == -1
            assert rank[other] < rank[place]
            assert likeness[place] == pytest.approx(exact(texts[place], texts[other]))
            assert likeness[place] >= np.float32(0.8)


def test_planted_pairs_are_found_by_their_likeness() -> None:
    rng = random.Random(0)
    texts, likeness = [], []
    for changes in (0, 1, 2, 3, 4, 5, 8) * 60:
        text = made(rng)
        copy = with_changes(text, changes, rng)
        texts += [text, copy]
        likeness.append(exact(text, copy))
    copy_of, found = find(texts)
    for number, alike in enumerate(likeness):
        kept, dropped = 2 * number, 2 * number + 1
        assert copy_of[kept] == -1
        assert (copy_of[dropped] == kept) == (alike >= 0.8), alike
        assert found[dropped] == pytest.approx(alike if alike >= 0.8 else 0)
    assert 0.8 < min(alike for alike in likeness if alike >= 0.8) < 0.85


def test_most_pairs_at_the_very_threshold_are_found() -> None:
    rng = random.Random(1)
    texts = []
    while len(texts) < 2 * 400:
        text = made(rng, 49)
        texts += [text, " ".join([*text.split()[5:], *rng.choices(VOCABULARY, k=5)])]
    assert exact(*texts[:2]) == 0.8
    copy_of, _ = find(texts)
    assert sum(place >= 0 for place in copy_of) >= 0.99 * 400


def test_the_better_one_stays() -> None:
    rng = random.Random(2)
    text = made(rng)
    texts = [text, with_changes(text, 1, rng), made(rng)]
    assert find(texts)[0] == [-1, 0, -1]
    assert find(texts, rank=[1, 0, 2])[0] == [1, -1, -1]
    assert find(texts, rank=[70, 7, 0])[0] == [1, -1, -1]


def test_a_chain_of_small_changes_is_not_pulled_in() -> None:
    rng = random.Random(3)
    texts = [made(rng)]
    for _ in range(60):
        parts = texts[-1].split()
        texts.append(" ".join([*parts[3:], *rng.choices(VOCABULARY, k=3)]))
    # Neighbours are near, and so are those four apart at most.
    assert exact(texts[0], texts[4]) >= 0.8 > exact(texts[0], texts[5])
    copy_of, likeness = find(texts)
    assert_sound(texts, range(61), copy_of, likeness)
    assert [place for place, other in enumerate(copy_of) if other < 0] == list(range(0, 61, 5))
    shuffled = rng.sample(range(61), 61)
    assert_sound(texts, shuffled, *find(texts, rank=shuffled))


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_what_is_dropped_is_near_to_what_is_kept(seed: int) -> None:
    rng = random.Random(seed)
    texts = [made(rng, 60) for _ in range(5)]
    while len(texts) < 80:
        texts.append(with_changes(rng.choice(texts), rng.randint(0, 2), rng))
    rank = rng.sample(range(80), 80)
    copy_of, likeness = find(texts, rank)
    assert_sound(texts, rank, copy_of, likeness)
    kept = [place for place in range(80) if copy_of[place] < 0]
    near = [(a, b) for a in kept for b in kept if a < b and exact(texts[a], texts[b]) >= 0.8]
    assert len(near) <= 2  # at 0.8 itself, a pair in two hundred is missed


def test_a_large_cluster_is_read_once_each() -> None:
    template = made(random.Random(4))
    texts = [f"{template} number {number}" for number in range(3000)]
    read = Reader(texts)
    copy_of, _ = find(texts, read=read)
    assert copy_of == [-1] + [0] * 2999
    assert read.read < 2 * 3000


def test_a_family_that_is_not_near_costs_no_more_than_the_caps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LEADERS", 2)
    monkeypatch.setattr(module, "READINGS", 3)
    rng = random.Random(5)
    template = made(rng).split()
    texts = []
    for number in range(300):
        parts = list(template)
        for place in (10, 40, 70):
            parts[place] = f"own{number}"
        texts.append(" ".join(parts))
    assert 0.75 < exact(*texts[:2]) < 0.8
    read = Reader(texts)
    copy_of, _ = find(texts, read=read)
    assert copy_of == [-1] * 300
    assert 300 < read.read <= 300 * 2 * 3


def test_texts_without_words_are_near_to_nothing() -> None:
    assert find(["", "?!", "", "a few words", "…"]) == ([-1] * 5, [0.0] * 5)


def test_short_texts() -> None:
    copy_of, likeness = find(["Yes, please!", "yes please", "no", "yes", "No?"])
    assert copy_of == [-1, 0, -1, -1, 2]
    assert likeness == [0, 1, 0, 0, 1]


def test_nothing_to_compare() -> None:
    empty = np.empty((0, 1), dtype=np.uint32)
    copy_of, likeness = near_duplicates(empty, np.empty(0, dtype=np.int64), 0.8, Reader([]))
    assert (copy_of.tolist(), likeness.tolist()) == ([], [])


def test_at_one_only_equal_sets_are_near() -> None:
    rng = random.Random(6)
    text = made(rng)
    assert find([text, text.upper(), f"{text} more"], threshold=1.0)[0] == [-1, 0, -1]


def test_the_order_in_the_file_does_not_matter() -> None:
    rng = random.Random(7)
    texts = [made(rng, 60) for _ in range(20)]
    while len(texts) < 200:
        texts.append(with_changes(rng.choice(texts), rng.randint(0, 2), rng))
    rank = rng.sample(range(200), 200)
    copy_of, likeness = find(texts, rank)
    assert find(texts, rank) == (copy_of, likeness)
    order = rng.sample(range(200), 200)
    moved_copies, moved = find([texts[p] for p in order], [rank[p] for p in order])
    assert moved == [likeness[p] for p in order]
    expected = [copy_of[p] for p in order]
    assert [order[other] if other >= 0 else -1 for other in moved_copies] == expected


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0])
def test_bands_find_pairs_at_the_threshold(threshold: float) -> None:
    bands, size = bands_for(threshold, 128)
    assert bands * size <= 128
    assert 1 - (1 - threshold**size) ** bands >= 0.99


def test_jaccard_is_that_of_plain_sets() -> None:
    rng = random.Random(8)
    texts = [" ".join(rng.choices("abc", k=rng.randint(5, 40))) for _ in range(30)]
    some, others = rng.choices(range(30), k=200), rng.choices(range(30), k=200)
    found = jaccard(shingles(words(texts)), np.array(some), np.array(others))
    expected = [exact(texts[one], texts[other]) for one, other in zip(some, others, strict=True)]
    assert found.tolist() == expected
