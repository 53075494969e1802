"""Answers that decline: they open by saying that they will not or cannot, and say little else."""

import re

DEEDS = (
    r"(?:help (?:you|with)|(?:assist|aid|provide|give|offer|fulfill?|comply|generate|create|produce"
    r"|write|make|draw|answer|respond|reply|discuss|engage|participate|support|share|access|browse"
    r"|open|view|predict|determine|identify|recommend|suggest|complete|perform|process|continue"
    r"|tell you|describe|confirm|verify|express|take part|comment|condone|promote|encourage|endorse"
    r"|do that|directly|ethically|in good)\b)"
)
UNABLE = (
    r"(?:am|['’]m)(?: (?:currently|simply|also|just))? (?:unable|incapable|not (?:able|capable"
    r"|programmed|designed|allowed|permitted|equipped|authorized))\b"
)
LACK = (
    r"(?:do not|don['’]t)(?: actually| currently)? (?:have|possess)(?: \w{1,12}){0,2}? (?:ability"
    r"|capability|capabilities|capacity|access|real-time|personal (?:opinion|preference|belief))"
)
OPENING = re.compile(
    r"\bI(?: (?:simply|really|just|also|therefore))?"
    rf"(?: (?:can(?:no|['’])t|can not|won['’]t) {DEEDS}"
    rf"| ?{UNABLE}| {LACK}| (?:must|have to|need to) (?:decline|refuse)\b| decline to\b)"
    r"|\bit (?:is|would be) not (?:ethical|appropriate)(?: or \w{1,12})? for me\b"
)
END = re.compile(r"[.!?](?:\s|$)")
WITHIN = 120  # characters from its start in which an answer must decline
AFTER = 200  # characters behind the sentence that declines; with more it answers all the same


def refusal(text: str) -> str | None:
    """The words with which an answer declines, None where it does not or answers all the same."""
    match = OPENING.search(text, 0, WITHIN + 80)
    if match is None or match.start() > WITHIN:
        return None
    end = END.search(text, match.end())
    return match[0] if end is None or len(text) - end.end() <= AFTER else None
