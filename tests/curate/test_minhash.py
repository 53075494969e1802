"""Signatures are the minima of a plain loop, and agree as often as sets are alike."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.curate import minhash as module
from understudy.curate.minhash import EMPTY, PERMUTATIONS, signatures
from understudy.curate.shingles import Shingles, shingles, words


def sets(*of_texts: list[int]) -> Shingles:
    hashes = np.array([one for text in of_texts for one in text], dtype=np.uint64)
    return Shingles(hashes, np.cumsum([0, *map(len, of_texts)]))


def plain(hashes: list[int], permutations: int) -> list[int]:
    a, b = (column.tolist() for column in module._orders(permutations))
    high = [one >> 32 for one in hashes]
    return [
        min(((h * a[k] + b[k]) % 2**32 for h in high), default=2**32 - 1)
        for k in range(permutations)
    ]


HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=12)


@settings(max_examples=100)
@given(st.lists(HASHES, max_size=8), st.integers(1, 40))
def test_signatures_are_minima(of_texts: list[list[int]], permutations: int) -> None:
    found = signatures(sets(*of_texts), permutations)
    assert found.dtype == np.uint32
    assert found.shape == (len(of_texts), permutations)
    assert found.tolist() == [plain(hashes, permutations) for hashes in of_texts]


@pytest.mark.parametrize("block", [1, 5, 64])
def test_blocks_do_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(block)
    texts = [" ".join(rng.choices("abcdef", k=rng.randint(0, 30))) for _ in range(50)]
    whole = signatures(shingles(words(texts)))
    monkeypatch.setattr(module, "BLOCK", block)
    assert (signatures(shingles(words(texts))) == whole).all()


def test_repeats_and_order_do_not_matter() -> None:
    one, other = signatures(sets([5 << 40, 9 << 40, 5 << 40], [9 << 40, 5 << 40]))
    assert (one == other).all()


def test_fewer_permutations_begin_more() -> None:
    found = sets(list(range(0, 2**63, 2**58)))
    assert (signatures(found, 16) == signatures(found, 64)[:, :16]).all()


def test_a_text_without_words_is_empty_throughout() -> None:
    found = signatures(shingles(words(["", "some words", "?!"])))
    assert (found == EMPTY).all(axis=1).tolist() == [True, False, True]


@pytest.mark.parametrize("size", [30, 100, 600])
@pytest.mark.parametrize("likeness", [0.5, 0.8, 0.95])
def test_estimates_are_unbiased(size: int, likeness: float) -> None:
    pairs = 400
    common = round(2 * size * likeness / (1 + likeness))
    likeness = common / (2 * size - common)
    rng = np.random.default_rng(size)
    hashes = rng.integers(0, 2**64, (pairs, 2 * size - common), dtype=np.uint64)
    starts = np.arange(pairs + 1) * size
    one, other = (
        signatures(Shingles(part.ravel(), starts)) for part in (hashes[:, :size], hashes[:, -size:])
    )
    estimates = (one == other).mean(axis=1)
    deviation = (likeness * (1 - likeness) / PERMUTATIONS) ** 0.5
    assert abs(estimates.mean() - likeness) < 5 * deviation / pairs**0.5
    assert abs(estimates.std() - deviation) < 0.25 * deviation + 1e-9
