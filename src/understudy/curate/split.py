"""Which prompts are held out from training."""

import hashlib
from collections import Counter


def heldout_prompts(prompts: list[bytes], fraction: float, most: int, seed: int) -> set[bytes]:
    """Choose the prompts whose dialogues are held out.

    Prompts are taken in the order of a hash of seed and prompt, so that a choice depends neither
    on the order of the data nor, much, on what else is in it. A prompt goes to one side with all
    its dialogues, and one prompt at least stays for training.

    Args:
        prompts: the prompt's key (`dedupe.prompt_key`) of every dialogue.
        fraction: share of the dialogues to hold out; above 0, one prompt at least is held out if
            there are two.
        most: largest number of dialogues to hold out; exceeded only where no prompt has so few.
        seed: another seed, another choice.
    """
    sizes = Counter(prompts)
    if not fraction or len(sizes) < 2:
        return set()
    room = min(most, max(1, round(fraction * len(prompts))))
    order = sorted(sizes, key=lambda prompt: hashlib.sha256(b"%d:%b" % (seed, prompt)).digest())
    chosen: set[bytes] = set()
    for prompt in order:
        if sizes[prompt] <= room and len(chosen) < len(sizes) - 1:
            chosen.add(prompt)
            room -= sizes[prompt]
    return chosen or {min(order, key=lambda prompt: sizes[prompt])}
