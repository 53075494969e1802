"""One small record or file of every format, written for the tests, and what is to be read of it."""

from typing import Any, NamedTuple


class Sample(NamedTuple):
    """Records as they follow each other in a file, and the turns of the last of them."""

    format: str
    records: list[dict[str, Any]]
    turns: list[tuple[str, str]]
    teacher: str | None = None
    licence: str | None = None
    id: str | None = None


def asked(question: str, answer: str) -> list[tuple[str, str]]:
    return [("user", question), ("assistant", answer)]


KIND = [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello")]


def discord(id: str, content: str, bot: bool = False, to: str | None = None) -> dict[str, Any]:
    author = {"id": "7", "name": "Talkative" if bot else "ann", "isBot": bot}
    reply = {"reference": {"messageId": to, "channelId": "9"}} if to else {}
    return {"id": id, "type": "Reply" if to else "Default", "content": content, "author": author,
            "timestamp": "2023-03-01T10:00:00+00:00", "embeds": []} | reply  # fmt: skip


def comment(id: str, parent: str, body: str) -> dict[str, Any]:
    return {"id": id, "parent_id": parent, "link_id": "t3_s", "body": body, "subreddit": "x"}


SUBMISSION = {"id": "s", "title": "Why?", "selftext": "I wonder.", "subreddit": "x"}


def message(id: str, parent: str | None, role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"message_id": id, "parent_id": parent, "message_tree_id": "t", "role": role,
            "text": text, "lang": "en"} | more  # fmt: skip


def node(role: str, text: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"message_id": text, "role": role, "text": text, "replies": list(replies)} | more


TREE = {
    "message_tree_id": "t",
    "tree_state": "ready_for_export",
    "prompt": node(
        "prompter",
        "Hi",
        node("assistant", "no rank"),
        node("assistant", "second", rank=1),
        node("assistant", "gone", rank=0, deleted=True),
        node(
            "assistant",
            "Hello",
            node("prompter", "And?", node("assistant", "So."), node("assistant", "later")),
            rank=0,
        ),
    ),
}
FLAT = [
    message("1", None, "prompter", "Hi"),
    message("2", "1", "assistant", "second", rank=1),
    message("3", "1", "assistant", "Hello", rank=0),
    message("4", "3", "prompter", "Bye"),
]

SAMPLES = {
    "alpaca": Sample(
        "alpaca",
        [{"instruction": "Add.", "input": "1 2", "output": "3", "license": "mit"}],
        asked("Add.\n\n1 2", "3"),
        licence="mit",
    ),
    "gpteacher": Sample(
        "alpaca",
        [{"instruction": "Go.", "input": " ", "response": "Gone.", "model": "gpt-4"}],
        asked("Go.", "Gone."),
        "gpt-4",
    ),
    "null input": Sample(
        "alpaca", [{"instruction": "Go.", "input": None, "output": "Gone."}], asked("Go.", "Gone.")
    ),
    "sharegpt": Sample(
        "sharegpt",
        [
            {
                "id": "s1",
                "conversations": [
                    {"from": "system", "value": "Be kind."},
                    {"from": "human", "value": "Hi"},
                    {"from": "chatgpt", "value": "Hello"},
                ],
            }
        ],
        KIND,
        "chatgpt",
        id="s1",
    ),
    "sharegpt with items": Sample(
        "sharegpt",
        [
            {
                "items": [{"from": "Human", "value": "Hi"}, {"from": "gpt", "value": "<b>Hello"}],
                "system": "",
            }
        ],
        asked("Hi", "<b>Hello"),
    ),
    "lmsys": Sample(
        "sharegpt",
        [
            {
                "conversation_id": "c",
                "model": "koala-13b",
                "system": "Be kind.",
                "conversation": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello"},
                ],
            }
        ],
        KIND,
        "koala-13b",
        id="c",
    ),
    "messages": Sample(
        "messages",
        [
            {
                "messages": [
                    {"role": "developer", "content": "Be kind."},
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}],
                    },
                    {"role": "assistant", "content": "Hello", "weight": 1},
                ],
                "model": "gpt-4",
            }
        ],
        KIND,
        "gpt-4",
    ),
    "batch": Sample(
        "messages",
        [
            {
                "custom_id": "r-1",
                "method": "POST",
                "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
            }
        ],
        [("user", "Hi")],
        "gpt-4o",
        id="r-1",
    ),
    "preferences": Sample(
        "messages",
        [
            {
                "input": {"messages": [{"role": "user", "content": "Hi"}]},
                "preferred_output": [{"role": "assistant", "content": "Hello"}],
                "non_preferred_output": [{"role": "assistant", "content": "What"}],
            }
        ],
        asked("Hi", "Hello"),
    ),
    "dialogues": Sample(
        "dialogues",
        [{"turns": [{"role": "user", "content": "Hi"}], "teacher": "t", "licence": "cc0-1.0"}],
        [("user", "Hi")],
        "t",
        "cc0-1.0",
    ),
    "self-instruct": Sample(
        "self_instruct",
        [
            {
                "id": "task_1",
                "instruction": "Add.",
                "instances": [{"input": "1 2", "output": "3"}, {"input": "2 2", "output": "4"}],
                "is_classification": False,
            }
        ],
        asked("Add.\n\n1 2", "3"),
        licence="apache-2.0",
        id="task_1",
    ),
    "predictions": Sample(
        "self_instruct",
        [
            {
                "prompt": "Add.\nInput: 1 2\nOutput:",
                "instruction": "Add.",
                "input": "1 2",
                "response": " 4",
                "target": "3",
            }
        ],
        asked("Add.\n\n1 2", " 4"),
        licence="apache-2.0",
    ),
    "dolly": Sample(
        "dolly",
        [{"instruction": "Who?", "context": "Ann did.", "response": "Ann", "category": "qa"}],
        asked("Who?\n\nAnn did.", "Ann"),
        licence="cc-by-sa-3.0",
    ),
    "hc3": Sample(
        "hc3",
        [{"question": "Why?", "human_answers": ["dunno"], "chatgpt_answers": ["As.", "So."]}],
        asked("Why?", "As."),
        "chatgpt",
        "cc-by-sa-4.0",
    ),
    "tree": Sample(
        "openassistant",
        [TREE],
        [*asked("Hi", "Hello"), *asked("And?", "So.")],
        licence="apache-2.0",
        id="t",
    ),
    "rows of a tree": Sample(
        "openassistant", FLAT, asked("Hi", "Hello"), licence="apache-2.0", id="t"
    ),
    "gpt4all": Sample(
        "gpt4all",
        [{"prompt": "Hi", "response": "Hello", "source": "somewhere"}],
        asked("Hi", "Hello"),
        "gpt-3.5-turbo",
    ),
    "koala": Sample(
        "koala",
        [
            {
                "marker_user": "USER:",
                "marker_gpt": "GPT:",
                "human_0": "Hi",
                "quote_0": "[1] a page",
                "gpt_1": "Hello",
                "human_2": "And?",
                "gpt_3": "So.",
                "fields": "[marker_user+human_0+quote_0+marker_gpt],gpt_1,<|eos|>,"
                "[marker_user+human_2+marker_gpt],gpt_3,<|eos|>",
            }
        ],
        [*asked("Hi\n\n[1] a page", "Hello"), *asked("And?", "So.")],
    ),
    "discord": Sample(
        "discord",
        [discord("1", "Hi"), discord("2", "Hello", bot=True)],
        asked("Hi", "Hello"),
        "Talkative",
        id="2",
    ),
    "reddit": Sample(
        "reddit",
        [SUBMISSION, comment("c", "t3_s", "Because.")],
        asked("Why?\n\nI wonder.", "Because."),
        id="c",
    ),
    "webgpt": Sample(
        "webgpt",
        [
            {
                "question": {"id": "q7", "full_text": "Why?"},
                "answer_0": "So [1].",
                "answer_1": "As [1].",
                "score_0": -1.0,
                "score_1": 1,
            }
        ],
        asked("Why?", "As [1]."),
        "webgpt",
        id="q7",
    ),
    "alpaca_eval": Sample(
        "alpaca_eval",
        [{"instruction": "Hi", "output": "Hello", "generator": "vicuna-7b", "dataset": "x"}],
        asked("Hi", "Hello"),
        "vicuna-7b",
        "cc-by-nc-4.0",
    ),
    "annotations": Sample(
        "alpaca_eval",
        [
            {
                "instruction": "Hi",
                "output_1": "No",
                "generator_1": "a",
                "output_2": "Hello",
                "generator_2": "b",
                "preference": 1.9,
            }
        ],
        asked("Hi", "Hello"),
        "b",
        "cc-by-nc-4.0",
    ),
    "completions": Sample(
        "table",
        [{"prompt": "Hi", "completion": "Hello<|endoftext|>", "id": 5}],
        asked("Hi", "Hello"),
        id="5",
    ),
    "table": Sample("table", [{"Question": "Hi", "Answer": "Hello"}], asked("Hi", "Hello")),
}
