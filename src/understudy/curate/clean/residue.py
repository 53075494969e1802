"""What copying a chat off a site brings along: the texts of its buttons, counters and notices.

Only whole lines go, and only where a site puts them: a notice ends a message, a pager opens it, a
copy button heads a block of code. A message that is nothing else stays.
"""

import re

MARKS = (
    "Copy code",
    "Regenerate",
    "generating",
    "Share Prompt",
    "chars / ",
    "can make mistakes",
    "Research Preview",
    "believe this to be in error",
)
PAGER = re.compile(r"[ \t]*(\d{1,2}) / (\d{1,2})[ \t]*")
COUNTER = r"(?:Copy )?\d{1,7} chars / \d{1,7} words"
FIRST = re.compile(rf"\s*(?:{COUNTER}|Share Prompt)\s*")
LAST = re.compile(
    rf"\s*(?:{COUNTER}|Share Prompt|Regenerate(?: response)?|(?:Stop|Continue) generating"
    r"|(?:Free )?Research Preview\b.{0,200}|ChatGPT \w{3,9} \d{1,2} Version\b.{0,300}"
    r"|ChatGPT can make mistakes\b.{0,100}"
    r"|This content may violate our content policy\. If you believe this to be in error,.{0,200}"
    r")\s*"
)
BUTTON = re.compile(r"[ \t]*Copy code[ \t]*")
# Fence, language and button run together: "```\npythonCopy code\nprint()".
GLUED = re.compile(r"```\n{0,2}([\w+#.-]{0,20}?)(?:Copy code){1,2}\n{0,2}")


def without_residue(text: str) -> str:
    """The text without lines that are a site's and not the speaker's."""
    if " / " not in text[:8] and not any(mark in text for mark in MARKS):
        return text
    lines = [line for line in GLUED.sub(r"```\1\n", text).split("\n") if not BUTTON.fullmatch(line)]
    start, end = 0, len(lines)
    while start < end and (not lines[start].strip() or _opens(lines[start])):
        start += 1
    while end > start and (not lines[end - 1].strip() or LAST.fullmatch(lines[end - 1])):
        end -= 1
    kept = "\n".join(lines[start:end])
    return text if not kept or kept.strip() == text.strip() else kept


def _opens(line: str) -> bool:
    pager = PAGER.fullmatch(line)
    if pager:
        return 2 <= int(pager[2]) >= int(pager[1])
    return bool(FIRST.fullmatch(line))
