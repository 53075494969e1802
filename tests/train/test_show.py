"""What `--show` prints: every token, which are supervised, and nothing that moves a terminal."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from train.tiny_models import TOKENIZERS, llama_like
from understudy.dialogue import Dialogue, Turn
from understudy.train.show import BORDER, as_json, show, token_texts
from understudy.train.template import bind

HOSTILE = "\x1b[31mred\x07 \u202eback\u2066 \x9b2J [bold]x[/bold] :smile: \r over \x00 </s>"


def dialogue(user: str, answer: str, **facts: str) -> Dialogue:
    turns = [Turn(role="user", content=user), Turn(role="assistant", content=answer)]
    return Dialogue(turns=turns, **({"id": "d1", "source": "a.jsonl"} | facts))


def printed(*dialogues: Dialogue, context: int = 500, colour: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, color_system="truecolor" if colour else None, width=80)
    show(dialogues, bind("markers", llama_like()), context, console)
    return file.getvalue()


def test_supervised_tokens_are_coloured_and_controls_are_shown_as_such() -> None:
    out = printed(dialogue("Go on.", "light"), colour=True)
    assert "\x1b[1;32migh\x1b[0m" in out
    assert "\x1b[1;7;32m<|end|>\x1b[0m" in out
    assert "\x1b[2;7m<|user|>\x1b[0m" in out
    assert "\x1b[1;32mGo" not in out


def test_every_border_is_seen() -> None:
    template = bind("markers", llama_like())
    example = dialogue("Go on.", "A lamp\ngives")
    line = printed(example).split("\n", 3)[3].rstrip("\n").replace("⏎\n", "\n")
    ids = template.encode(example.messages()).ids
    assert line.split(BORDER) == token_texts(template.tokenizer, ids)


def test_nothing_from_strangers_reaches_the_terminal_raw() -> None:
    out = printed(dialogue(HOSTILE, HOSTILE, id=HOSTILE + "\n", source=HOSTILE))
    assert all(c.isprintable() or c == "\n" for c in out)
    assert out.count("\\u001b") == 4  # id, source, question and answer
    assert out.count("\\u202e") == 4
    assert "[bold]" in out.replace(BORDER, "")
    assert ":smile:" in out.replace(BORDER, "")


def test_what_is_cut_is_marked_and_counted() -> None:
    out = printed(dialogue("a", "xyz " * 50), context=10)
    assert "cut" in out.splitlines()[2]
    assert "more tokens are cut" in out
    assert "left out" not in out
    assert out.count(BORDER) == 1 + 10 + 20 - 1  # one is the legend's


def test_a_dialogue_that_trains_nothing_is_said_to_be_left_out() -> None:
    assert "left out" in printed(dialogue("xyz " * 50, "a"), context=10)


def test_json_has_the_tokens_of_training() -> None:
    template = bind("vicuna", llama_like())
    example = dialogue("Hello 👩‍🚀", "Hi é")
    (shown,) = json.loads(json.dumps(as_json([example], template, 500)))
    encoded = template.encode(example.messages())
    assert shown["id"] == "d1"
    assert [token["id"] for token in shown["tokens"]] == encoded.ids
    assert [token["supervised"] for token in shown["tokens"]] == encoded.supervised
    said = "".join(token["text"] for token in shown["tokens"] if token["supervised"])
    assert said == "Hi é</s>"
    (shown,) = as_json([example], template, 3)
    assert [token["id"] for token in shown["tokens"]] == encoded.ids[:3]


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=60)
@given(text=st.text(max_size=30))
def test_texts_of_tokens_join_to_the_text(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]()
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(token_texts(tokenizer, ids)) == text
