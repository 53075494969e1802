"""Questions found for the answers to them, where a format keeps the two in different records.

A join walks over rows in their order and hands each on, with the text that it answers where there
is one, so that whoever reads a row needs no other. How Discord exports, Reddit dumps and the flat
rows of OpenAssistant name what a record answers is known here; what becomes of it, in `readers`.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from understudy.curate.row import Row, fields

LOOK = 20  # rows by which a format is told
RECENT = 200_000  # records that an answer may lie after its question
ROOM = 1 << 28  # characters that their texts may have together
LARGEST_TREE = 10_000  # rows
GONE = ("", "[deleted]", "[removed]")  # what Reddit shows of a text that was taken away


def joined(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows of one file, joined if those at its start are of a format that asks for it."""
    start = list(islice(rows, LOOK))
    rows = chain(start, rows)
    for record in map(fields, start):
        for is_of_format, join in JOINS:
            if is_of_format(record):
                return join(rows)
    return rows


def is_discord(record: dict[str, Any]) -> bool:
    """Whether it is a message in DiscordChatExporter's form."""
    author = record.get("author")
    return isinstance(author, dict) and "isBot" in author and "content" in record


def is_reddit(record: dict[str, Any]) -> bool:
    """Whether it is a submission or a comment of a Reddit dump."""
    return is_comment(record) or ("selftext" in record and "title" in record)


def is_comment(record: dict[str, Any]) -> bool:
    """Whether what is of Reddit is a comment, not a submission."""
    return "body" in record and "parent_id" in record


def is_message_of_tree(record: dict[str, Any]) -> bool:
    """Whether it is one message of an OpenAssistant tree, as a row of its own."""
    return "message_tree_id" in record and "message_id" in record and "parent_id" in record


def live(text: Any) -> bool:
    """Whether a text of Reddit is one, and still there."""
    return isinstance(text, str) and text.strip() not in GONE


class Recent:
    """Texts by id, of which the oldest are forgotten for want of room."""

    def __init__(self) -> None:
        self.texts: OrderedDict[str, str] = OrderedDict()
        self.size = 0

    def put(self, id: str, text: str) -> None:
        self.size += len(text) - len(self.texts.pop(id, ""))
        self.texts[id] = text
        while len(self.texts) > RECENT or self.size > ROOM:
            self.size -= len(self.texts.popitem(last=False)[1])

    def get(self, id: Any) -> str | None:
        return self.texts.get(id) if isinstance(id, str) else None


def _discord(rows: Iterator[Row]) -> Iterator[Row]:
    """A bot answers the message that it refers to, or else the last one of a person."""
    recent = Recent()
    last = None
    for row in rows:
        message = fields(row)
        if is_discord(message):
            text = message["content"]
            if message["author"]["isBot"] is True:
                reference = message.get("reference")
                to = reference.get("messageId") if isinstance(reference, dict) else None
                row = row._replace(asked=recent.get(to) or last)
            elif isinstance(text, str) and text.strip():
                last = text
                if isinstance(message.get("id"), str):
                    recent.put(message["id"], text)
        yield row


def _reddit(rows: Iterator[Row]) -> Iterator[Row]:
    """A comment answers its parent, a submission or another comment."""
    recent = Recent()
    for row in rows:
        record = fields(row)
        if is_reddit(record):
            if is_comment(record):
                row = row._replace(asked=recent.get(record["parent_id"]))
                kind, text = "t1_", record["body"]
            else:
                kind, text = "t3_", _submission(record)
            if live(text) and isinstance(record.get("id"), str):
                recent.put(kind + record["id"], text)
        yield row


def _submission(record: dict[str, Any]) -> str:
    """Title and text; nothing where the text was there once, since the rest is not the question."""
    title, text = record["title"], record["selftext"]
    if not live(title) or not isinstance(text, str):
        return ""
    return title if not text.strip() else f"{title}\n\n{text}" if live(text) else ""


def _trees(rows: Iterator[Row]) -> Iterator[Row]:
    """Messages of one tree that follow each other become one row, a list under `messages`."""
    tree: list[dict[str, Any]] = []
    first = Row(0)
    for row in rows:
        message = fields(row)
        if not is_message_of_tree(message):
            yield row
            continue
        id = message["message_tree_id"]
        if tree and (tree[0]["message_tree_id"] != id or len(tree) == LARGEST_TREE):
            yield _tree(first, tree)
            tree = []
        if not tree:
            first = row
        tree.append(message)
    if tree:
        yield _tree(first, tree)


def _tree(first: Row, messages: list[dict[str, Any]]) -> Row:
    value = {"message_tree_id": messages[0]["message_tree_id"], "messages": messages}
    return first._replace(text=None, value=value)


JOINS = ((is_discord, _discord), (is_reddit, _reddit), (is_message_of_tree, _trees))
