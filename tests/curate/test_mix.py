"""The order in which dialogues enter a mix: nested, proportional, weighted, reproducible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.curate.mix import check_sources, mixing_order, strata_of, subset_sizes
from understudy.curate.split import scrambled
from understudy.errors import UserError

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def sets(draw: st.DrawFn) -> Drawn:
    """Tokens, strata, weights (one a stratum) and hashes of a small set."""
    rows = draw(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 4)), max_size=60))
    by_stratum = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=5, max_size=5))
    tokens = np.array([t for t, _ in rows], dtype=np.int64)
    strata = np.array([s for _, s in rows], dtype=np.int64)
    seed = draw(st.integers(0, 3))
    return tokens, strata, np.array(by_stratum)[strata], hashes(len(rows), seed)


def hashes(count: int, seed: int = 0) -> np.ndarray:
    return scrambled(np.arange(count, dtype=np.uint64), seed)


@given(sets())
def test_all_that_has_weight_enters_once(drawn: Drawn) -> None:
    tokens, strata, weights, marks = drawn
    order = mixing_order(tokens, strata, weights, marks)
    assert sorted(order.tolist()) == np.flatnonzero(weights > 0).tolist()


@given(sets(), st.lists(st.integers(1, 2000), min_size=2, max_size=4))
def test_subsets_are_the_longest_prefixes_that_fit(drawn: Drawn, budgets: list[int]) -> None:
    tokens, strata, weights, marks = drawn
    order = mixing_order(tokens, strata, weights, marks)
    for budget, size in zip(budgets, subset_sizes(order, tokens, budgets), strict=True):
        held = [int(tokens[order[:count]].sum()) for count in range(len(order) + 1)]
        assert size == max(count for count, total in enumerate(held) if total <= budget)


@given(sets())
def test_a_cut_takes_the_same_share_of_every_stratum_times_its_weight(drawn: Drawn) -> None:
    """Within one dialogue's tokens a stratum: there is a t for every prefix that explains it."""
    tokens, strata, weights, marks = drawn
    order = mixing_order(tokens, strata, weights, marks)
    for size in range(len(order) + 1):
        least, most = 0.0, np.inf
        inside = np.isin(np.arange(len(tokens)), order[:size])
        for stratum in np.unique(strata[weights > 0]):
            own = strata == stratum
            total, held = tokens[own].sum(), tokens[own & inside].sum()
            weight, slack = weights[own][0], tokens[own].max()
            least = max(least, (held - slack) / total / weight)
            if held < total:
                most = min(most, (held + slack) / total / weight)
        assert least <= most + 1e-9


@given(sets(), st.randoms(use_true_random=False))
def test_the_order_given_does_not_matter(drawn: Drawn, rng: object) -> None:
    tokens, strata, weights, marks = drawn
    order = mixing_order(tokens, strata, weights, marks)
    shuffled = np.arange(len(tokens))
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    again = mixing_order(tokens[shuffled], strata[shuffled], weights[shuffled], marks[shuffled])
    assert shuffled[again].tolist() == order.tolist()


def test_another_seed_gives_another_order() -> None:
    one = np.ones(50, dtype=np.int64)
    orders = [mixing_order(one, one, one, hashes(50, seed)).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_weights_are_shares_until_a_source_is_used_up() -> None:
    rng = np.random.default_rng(0)
    sources = np.repeat([0, 1, 2], 4000)
    tokens = rng.integers(20, 400, len(sources))
    turns = rng.choice([2, 4, 9], len(sources))
    weights = np.array([2.0, 1.0, 0.0])[sources]
    strata = strata_of(sources, turns, tokens)
    order = mixing_order(tokens, strata, weights, hashes(len(sources)))
    totals = np.bincount(sources, tokens)
    tenth = order[: subset_sizes(order, tokens, [int(totals.sum()) // 10])[0]]
    held = np.bincount(sources[tenth], tokens[tenth], minlength=3) / totals
    assert held[0] / held[1] == pytest.approx(2, rel=0.02)
    assert held[2] == 0
    # The turns are those of the set.
    expected = np.bincount(turns[sources == 0], tokens[sources == 0]) / totals[0]
    first = tenth[sources[tenth] == 0]
    found = np.bincount(turns[first], tokens[first]) / tokens[first].sum()
    assert found == pytest.approx(expected, abs=0.01)
    # When the first source is used up, the second is half in, and all that follows is its.
    middle = int(np.flatnonzero(sources[order] == 0).max())
    rest = tokens[order[middle + 1 :]].sum() / totals[1]
    assert rest == pytest.approx(0.5, abs=0.02)


def test_rare_strata_are_not_kept_out_of_small_subsets() -> None:
    """Beside a stratum of a thousand dialogues, a thousand of one: a tenth of each."""
    one = np.ones(2000, dtype=np.int64)
    strata = np.append(np.zeros(1000, dtype=np.int64), np.arange(1, 1001))
    order = mixing_order(one, strata, np.ones(2000), hashes(2000))
    rare = np.count_nonzero(order[: subset_sizes(order, one, [200])[0]] >= 1000)
    assert 80 <= rare <= 120


@given(sets(), st.data())
def test_what_is_to_come_last_does(drawn: Drawn, data: st.DataObject) -> None:
    tokens, strata, weights, marks = drawn
    flags = st.lists(st.booleans(), min_size=len(tokens), max_size=len(tokens))
    last = np.array(data.draw(flags), dtype=bool)
    order = mixing_order(tokens, strata, weights, marks, last)
    assert np.all(np.diff(last[order].astype(int)) >= 0)
    kept = np.flatnonzero(~last)
    alone = mixing_order(tokens[kept], strata[kept], weights[kept], marks[kept])
    assert order[: len(alone)].tolist() == kept[alone].tolist()


def test_strata_are_sources_and_octaves() -> None:
    files = np.array([0, 0, 0, 0, 1], dtype=np.int32)
    turns = np.array([2, 3, 4, 2, 2], dtype=np.int32)
    tokens = np.array([8, 15, 15, 16, 8])
    strata = strata_of(files, turns, tokens)
    assert strata[0] == strata[1]
    assert len(set(strata.tolist())) == 4
    assert strata_of(files[:2], turns[:2], np.array([0, 1])).tolist() == [strata[0] - 3] * 2


def test_nothing_and_dialogues_without_tokens() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert mixing_order(none, none, none.astype(float), none.astype(np.uint64)).tolist() == []
    assert subset_sizes(none, none, [5]) == [0]
    zeros = np.zeros(3, dtype=np.int64)
    order = mixing_order(zeros, zeros, np.ones(3), hashes(3))
    assert sorted(order.tolist()) == [0, 1, 2]


def test_weights_that_name_no_source_are_refused() -> None:
    check_sources({"b.json": 0.0, "a.json": 2.0}, ["a.json", "b.json", "c.json"])
    check_sources({}, [])
    with pytest.raises(UserError, match=r"no source 'a'; the sources are a\.json, b\.json$"):
        check_sources({"a": 1.0}, ["a.json", "b.json"])
    with pytest.raises(UserError, match="every source weighs 0"):
        check_sources({"a.json": 0.0}, ["a.json"])
