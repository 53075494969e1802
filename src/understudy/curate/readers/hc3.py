"""HC3: {"question", "human_answers": [...], "chatgpt_answers": [...]}; ChatGPT's first is taken."""

from typing import Any

from understudy.curate.records import Context, NoAnswerError, UnreadableError, pair, text_at
from understudy.dialogue import Dialogue

NAME = "hc3"
LICENCE: str | None = "cc-by-sa-4.0"
TERMS = "CC BY-SA 4.0; the answers are ChatGPT's and bound by OpenAI's terms"
TEACHER = "chatgpt"


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has answers of ChatGPT."""
    return "chatgpt_answers" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of the question and the first answer of ChatGPT."""
    question, answers = text_at(record, "question"), record["chatgpt_answers"]
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise UnreadableError("chatgpt_answers is not a list of texts")
    if not answers:
        raise NoAnswerError("ChatGPT did not answer")
    return context.dialogue(record, pair(question, answers[0]), teacher=TEACHER)
