"""Preferences made for tests: one at a time, or a simulated panel's."""

import numpy as np
from scipy.special import expit

from understudy.preferences import Preference, Shown

Array = np.ndarray


def preference(
    share: float | None,
    *,
    item: str = "p0",
    models: tuple[str, str] = ("a", "b"),
    texts: tuple[str, str] = ("one", "other"),
    rater: str = "ann",
    protocol: str = "hurried",
) -> Preference:
    """`share` is how far the second of `models` is preferred."""
    first, second = (
        Shown(model=model, text=text) for model, text in zip(models, texts, strict=True)
    )
    return Preference(
        item=item, first=first, second=second, share=share, rater=rater, protocol=protocol
    )


def panel(
    rng: np.random.Generator,
    strengths: dict[str, float],
    *,
    prompts: int,
    raters: int,
    each: int,
    leaning: tuple[float, float] = (0.0, 0.0),
) -> list[Preference]:
    """Every prompt is rated by `each` raters, who are shown two models drawn at random.

    Args:
        strengths: of the models, in log-odds.
        leaning: standard deviations of prompts' and of raters' own likings for a model.
    """
    names = list(strengths)
    true = np.array(list(strengths.values()))
    by_prompt = rng.normal(size=(prompts, len(names))) * leaning[0]
    by_rater = rng.normal(size=(raters, len(names))) * leaning[1]
    found = []
    for prompt in range(prompts):
        for rater in rng.choice(raters, size=each, replace=False):
            first, second = rng.choice(len(names), size=2, replace=False)
            liking = true + by_prompt[prompt] + by_rater[rater]
            share = float(rng.random() < expit(liking[second] - liking[first]))
            models = names[first], names[second]
            found.append(preference(share, item=f"p{prompt}", models=models, rater=f"r{rater}"))
    return found
