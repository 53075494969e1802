"""What style does to a preference: features seen, regression right, and nothing blows up."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from understudy.preferences.control import difference, features, style_controlled

LAID_OUT = """Sure! Here is how:

# First steps

1. **Wash** the pan.
2. Heat it.
   - gently
   - with __care__

```python
# not a heading
- not an item, **not bold**
```

I hope this helps!"""


def test_features() -> None:
    assert features(LAID_OUT) == {
        "characters": len(LAID_OUT),
        "list_items": 4,
        "headings": 1,
        "bold": 2,
        "code_blocks": 1,
        "opening": 1,
        "closing": 1,
    }
    plain = "It was 2 * 3 ** 2, about 5 - 4.\n#hashtag, and surely not a list."
    assert set(features(plain).values()) == {len(plain), 0}
    assert set(features("").values()) == {0}


def test_a_code_block_that_is_never_closed_runs_to_the_end() -> None:
    found = features("Look:\n```\n- a\n- b")
    assert (found["code_blocks"], found["list_items"]) == (1, 0)


def test_differences_are_normalised() -> None:
    found = difference("- a\n- b\n- c", "- a")
    assert found["list_items"] == 0.5
    assert found["characters"] == pytest.approx((11 - 3) / 14)
    assert found["bold"] == 0
    assert difference("- a", "- a\n- b\n- c") == {name: -value for name, value in found.items()}


@pytest.mark.parametrize(
    "piece", ["*", "`", "```\n", "\n", "**a", "_", " ", "1", "#", "- ", "sure "]
)
def test_hostile_texts_come_to_an_end(piece: str) -> None:
    text = piece * 100_000  # minutes where a pattern looks at every character from every other
    assert features(text)["characters"] == len(text)


def test_the_fit_is_statsmodels() -> None:
    rng = np.random.default_rng(1)
    differences = {"characters": rng.uniform(-1, 1, 500), "bold": rng.choice([-1, 0, 1], 500)}
    shares = expit(0.4 + differences["characters"] - differences["bold"] + rng.normal(size=500))
    found = style_controlled(shares, differences, range(500))
    columns = [value / value.std() for value in differences.values()]
    design = sm.add_constant(np.column_stack(columns))
    theirs = sm.GLM(shares, design, family=sm.families.Binomial()).fit(tol=1e-12)
    ours = [effect["coefficient"] for effect in found.effects.values()]
    assert ours == pytest.approx(theirs.params[1:], abs=1e-6)
    assert found.win_rate == pytest.approx(expit(theirs.params[0]), abs=1e-6)
    adjusted = 1 - (theirs.deviance / 497) / (theirs.null_deviance / 499)
    assert found.explained == pytest.approx(adjusted, abs=1e-6)


def test_explained_is_mcfaddens_for_whole_preferences() -> None:
    rng = np.random.default_rng(2)
    longer = rng.uniform(-1, 1, 5000)
    shares = (rng.random(5000) < expit(3 * longer)).astype(float)
    found = style_controlled(shares, {"characters": longer}, range(5000))
    theirs = sm.Logit(shares, sm.add_constant(longer)).fit(disp=0)
    assert found.explained == pytest.approx(theirs.prsquared, abs=1e-3)


def test_a_preference_for_style_alone_is_gone_at_equal_style() -> None:
    rng = np.random.default_rng(3)
    bold = rng.uniform(-0.2, 1, 2000)
    shares = (rng.random(2000) < expit(2 * bold)).astype(float)
    noise = rng.uniform(-1, 1, 2000)
    found = style_controlled(shares, {"bold": bold, "headings": noise}, range(2000))
    assert shares.mean() > 0.65
    assert found.low < 0.5 < found.high
    assert found.effects["bold"]["low"] > 0
    assert found.effects["headings"]["low"] < 0 < found.effects["headings"]["high"]


def test_nothing_is_explained_where_style_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    noise = {name: rng.normal(size=300) for name in "abcdefg"}
    found = style_controlled(rng.integers(0, 2, 300).astype(float), noise, range(300))
    assert found.explained is not None
    assert found.explained < 0.03


def test_prompts_are_clustered() -> None:
    rng = np.random.default_rng(5)
    longer, shares = rng.uniform(-1, 1, 200), rng.random(200)
    once = style_controlled(shares, {"characters": longer}, range(200))
    again = {"characters": longer.repeat(3)}
    thrice = style_controlled(shares.repeat(3), again, [i for i in range(200) for _ in "abc"])
    assert thrice[:3] == pytest.approx(once[:3], abs=1e-3)


def test_separation_and_no_variation() -> None:
    longer = np.linspace(-1, 1, 40)
    won = (longer > 0.5).astype(float)
    found = style_controlled(won, {"characters": longer, "bold": np.zeros(40)}, range(40))
    assert found.explained == pytest.approx(1, abs=0.01)
    assert list(found.effects) == ["characters"]
    assert found.effects["characters"]["low"] < 0 < found.effects["characters"]["high"]

    always = style_controlled(np.ones(40), {"characters": longer}, range(40))
    assert always.win_rate == 1
    assert always.low > 0.9
    assert always.explained is None

    alike = style_controlled(won, {"characters": np.full(40, 0.3)}, range(40))
    assert alike.effects == {}
    assert alike.win_rate == pytest.approx(won.mean(), abs=1e-6)
    assert alike.explained == 0


def test_few_items() -> None:
    found = style_controlled(np.array([0.0, 1.0]), {"bold": np.array([0.1, 0.2])}, ["a", "b"])
    assert found[1:3] == (0, 1)
    assert found.explained is None
    with pytest.raises(ValueError, match="no preferences"):
        style_controlled(np.array([]), {}, [])
