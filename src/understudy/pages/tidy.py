"""Makes strings from models, files and the network safe to write and to show.

Escaping is the template's; here goes what escaping leaves: characters that no file or page can
hold or that would rearrange the text around them, and lengths without end.
"""

import re
from typing import Any

LONGEST = 1200  # characters
# Control characters but tab and newline, lone surrogates, and the marks that override the
# direction of what follows them.
UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def tidy(value: Any) -> Any:
    """A JSON value with every string, keys included, made showable and bounded."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(str(key)): tidy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [tidy(inner) for inner in value]
    return value


def _text(text: str) -> str:
    cut = len(text) - LONGEST
    note = f" … [{cut:,} more characters]" if cut > 0 else ""
    return UNSHOWABLE.sub("�", text[:LONGEST].replace("\r\n", "\n")) + note
