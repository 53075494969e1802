"""Which prompts are held out from training."""

import numpy as np

_MIX = np.uint64(0x9E3779B97F4A7C15)


def heldout_prompts(prompts: np.ndarray, fraction: float, most: int, seed: int) -> np.ndarray:
    """Choose the prompts whose dialogues are held out.

    Prompts are taken in the order of a hash of seed and prompt, so that a choice depends neither
    on the order of the data nor, much, on what else is in it. A prompt goes to one side with all
    its dialogues, and one prompt at least stays for training.

    Args:
        prompts: the prompt's key (`dedupe.prompt_key`) of every dialogue, uint64.
        fraction: share of the dialogues to hold out; above 0, one prompt at least is held out if
            there are two.
        most: largest number of dialogues to hold out; exceeded only where no prompt has so few.
        seed: another seed, another choice.

    Returns:
        The chosen prompts' keys.
    """
    distinct, sizes = np.unique(prompts, return_counts=True)
    if not fraction or len(distinct) < 2:
        return distinct[:0]
    room = min(most, max(1, round(fraction * len(prompts))))
    order = np.argsort(scrambled(distinct, seed), kind="stable")
    chosen: list[int] = []
    for prompt in order:
        if not room or len(chosen) == len(distinct) - 1:
            break
        if sizes[prompt] <= room:
            chosen.append(prompt)
            room -= sizes[prompt]
    return distinct[chosen or [order[np.argmin(sizes[order])]]]


def scrambled(keys: np.ndarray, seed: int) -> np.ndarray:
    """64-bit keys in an order that seed alone decides (finaliser of splitmix64, Steele 2014)."""
    with np.errstate(over="ignore"):
        mixed = keys.astype(np.uint64) + np.uint64(seed % (1 << 64)) * _MIX + _MIX
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
