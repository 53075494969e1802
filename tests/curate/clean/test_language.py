"""The language of a dialogue."""

import pytest

from understudy.curate.clean.language import Languages

GERMAN = ["Wie backe ich ein Brot?", "Mischen Sie Mehl, Wasser, Salz und Hefe, und kneten Sie."]
ENGLISH = ["How do I bake bread?", "Mix flour, water, salt and yeast, and knead the dough well."]
CHINESE = ["怎么做面包？", "把面粉、水、盐和酵母混合在一起，然后揉成面团，静置一个小时后再烤。"]


@pytest.mark.parametrize(
    ("keep", "texts", "other"),
    [
        (["en"], ENGLISH, None),
        (["en"], GERMAN, "de"),
        (["en", "de"], GERMAN, None),
        (["EN"], ENGLISH, None),
        (["en"], CHINESE, "zh"),
        (["de"], ["HOW DO I BAKE BREAD?", "MIX FLOUR, WATER, SALT AND YEAST, AND KNEAD."], "en"),
        (["en"], ["Ok?", "Ja, gut."], None),  # too little
        (["de"], ["1 + 1?", "2"], None),
        (
            ["en"],
            ["Fix it", "```\n" + "der Hund und die Katze gehen nach Hause\n" * 9 + "```"],
            None,
        ),
    ],
)
def test_languages(keep: list[str], texts: list[str], other: str | None) -> None:
    found = Languages(keep).other(texts)
    assert (found[0] if found else None) == other
