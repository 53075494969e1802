"""Characters that a wrong decoding broke, and those that no reader sees."""

import re

import ftfy

# What is right as it is stays: quotes stay curly, wide and joined letters stay what they are,
# nothing is normalised, and entities are left to the step that knows of markup.
CONSERVATIVE = ftfy.TextFixerConfig(
    unescape_html=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    normalization=None,
    explain=False,
)
# A text without any of these is whole, so that ftfy need not look at it: control characters and
# line breaks other than \n; a lead byte of UTF-8 read as Latin-1 or Windows-1252 and a byte that
# may follow it; the same read as Windows-1251, as Mac Roman or as code page 437.
SUSPECT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u206a-\u206f\ufeff\ufff9-\ufffb]"
    "|[Â-ô][ \xa0-¿€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
    "|[РСв][ЂЃѓЉЊЌЋЏђљњќћџІіґєЅѕї°±µ¶·№€†‡‰‹›™]"
    "|[√¬‚][A-Za-z\xa0-ÿ†°¢£§•¶ß®©™´¨≠∞±≤≥¥µ∂∑∏πΩ]"
    "|[├┬ΓΓ╬╧][A-Za-z\xa0-ÿ\u2500-\u25ff]"
)


def mended_characters(text: str) -> str:
    """The text with broken characters decoded aright and control characters taken out."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    if not SUSPECT.search(text):
        return text
    return ftfy.fix_text(text, CONSERVATIVE)
