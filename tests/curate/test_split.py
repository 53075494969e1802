"""Which prompts are held out."""

import numpy as np

from understudy.curate.split import heldout_prompts, scrambled


def keys(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint64) * np.uint64(7919)


def test_size() -> None:
    assert len(heldout_prompts(keys(100), 0.1, 50, 0)) == 10
    assert len(heldout_prompts(keys(100), 0.9, 50, 0)) == 50
    assert len(heldout_prompts(keys(2), 0.01, 50, 0)) == 1
    assert len(heldout_prompts(keys(2), 1.0, 50, 0)) == 1
    assert len(heldout_prompts(keys(100), 0.0, 50, 0)) == 0
    assert len(heldout_prompts(keys(1).repeat(5), 0.5, 50, 0)) == 0
    assert len(heldout_prompts(keys(0), 0.5, 50, 0)) == 0


def test_dialogues_count_and_no_prompt_is_split() -> None:
    prompts = np.concatenate([keys(1).repeat(50), keys(40)])
    for seed in range(20):
        chosen = heldout_prompts(prompts, 0.2, 12, seed)
        assert 0 < np.isin(prompts, chosen).sum() <= 12
    large = np.array([1, 1, 2, 2, 2], dtype=np.uint64)
    assert heldout_prompts(large, 0.2, 1, 0).tolist() == [1]


def test_choice_depends_on_seed_and_not_on_order() -> None:
    prompts = keys(200)
    shuffled = np.random.default_rng(1).permutation(prompts)
    chosen = set(heldout_prompts(prompts, 0.1, 50, 0).tolist())
    assert set(heldout_prompts(shuffled, 0.1, 50, 0).tolist()) == chosen
    assert set(heldout_prompts(prompts, 0.1, 50, 1).tolist()) != chosen
    assert chosen < set(heldout_prompts(prompts, 0.2, 50, 0).tolist())


def test_scrambling_loses_nothing() -> None:
    assert len(np.unique(scrambled(keys(10_000), 3))) == 10_000
    assert (scrambled(keys(10), 3) != scrambled(keys(10), 4)).all()
