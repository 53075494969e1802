"""A talk with a model: a line in is a turn, the reply goes out."""

import sys
from collections.abc import Iterator
from typing import TextIO

from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.engines.text import Generation
from understudy.progress import say

# Control characters could steer the terminal.
_HARMLESS = {code: "�" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def chat(
    model: str, lines: TextIO, out: TextIO, temperature: float, max_tokens: int, seed: int
) -> None:
    """Talk until an empty line or the end of `lines`.

    The history is kept; when it no longer fits, the oldest turns are forgotten and that is said.

    Args:
        model: a directory or hub name.
        lines: one turn a line.
        out: gets the replies and nothing else; prompts go to stderr, where a person types.
        temperature: 0 takes the likeliest token.
        max_tokens: longest reply.
        seed: of what is drawn.

    Raises:
        UserError: the model cannot be loaded.
    """
    engine = LocalEngine(model)
    how = Generation(max_tokens, engine.chat_stop, temperature)
    history: list[dict[str, str]] = []
    for turn, line in enumerate(_lines(lines)):
        history.append({"role": "user", "content": line})
        text = _reply(engine, history, how, seed + turn)
        history.append({"role": "assistant", "content": text})
        out.write((text.translate(_HARMLESS) if out.isatty() else text) + "\n")
        out.flush()


def _lines(lines: TextIO) -> Iterator[str]:
    """The turns; a person at a terminal is shown where to type."""
    while True:
        if lines.isatty():
            sys.stderr.write("> ")
            sys.stderr.flush()
        line = lines.readline().rstrip("\r\n")
        if not line.strip():
            return
        yield line


def _reply(engine: LocalEngine, history: list[dict[str, str]], how: Generation, seed: int) -> str:
    """The model's answer to a history, which loses its oldest turns if it does not fit."""
    ids = engine.encode_chat(history)
    forgotten = 0
    while len(ids) + how.max_tokens > engine.context and len(history) > 1:
        del history[:2]
        forgotten += 1
        ids = engine.encode_chat(history)
    if forgotten:
        say(f"  the model's {engine.context} tokens are full; the oldest turns are forgotten")
    _, done = next(engine.write([ids], [seed], how, "reply"))
    return engine.as_reply(done).text
