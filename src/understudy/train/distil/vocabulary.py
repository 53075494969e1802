"""The bytes that a student's tokens stand for, and the tokens that bytes stand for.

Byte-level vocabularies (GPT-2's kind) write every byte as a printable character, pieces in
SentencePiece's manner write a space as "▁" and single bytes as "<0x0A>"; a tokenizer's decoder
says which. What the table says of a token is checked against decoding it.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from understudy.errors import UserError
from understudy.train.plain import PlainTokenizer

SPACE = "▁"
BYTE = re.compile("<0x([0-9A-F]{2})>")
LONGEST = 256  # bytes of a text of which the first token is asked
REMEMBERED = 1 << 18  # texts


class Vocabulary:
    """A student's tokens as bytes.

    Attributes:
        bytes_of: by id; control tokens, and tokens that have no bytes of their own, are not there.

    Raises:
        UserError: the tokenizer is of a kind that loses bytes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        backend = tokenizer.backend_tokenizer
        found = _read(tokenizer)
        anchor = next((id for id, text in found.items() if text.isalpha()), None)
        if anchor is None:
            raise UserError(_refusal(tokenizer))
        # A decoder may treat the beginning of a text in a way of its own; so all follow a letter.
        decoded = backend.decode_batch([[anchor, id] for id in found], skip_special_tokens=False)
        before = found[anchor].decode()
        self.bytes_of = {
            id: text
            for (id, text), shown in zip(found.items(), decoded, strict=True)
            if shown == before + text.decode(errors="replace") or _is_part(text)
        }
        # Where a single byte has a piece of its own as well, that piece is what texts are made of.
        by_fallback = sorted(
            self.bytes_of, key=lambda id: not BYTE.fullmatch(backend.id_to_token(id))
        )
        self._id_of = {self.bytes_of[id]: id for id in by_fallback}
        self._plain = PlainTokenizer(tokenizer)
        self.first = lru_cache(REMEMBERED)(self._first)

    def _first(self, text: bytes) -> int | None:
        """The first token of a text in the middle of others; None where it has none of its own."""
        if text in self._id_of:
            return self._id_of[text]
        if not text or len(text) > LONGEST or _is_part(text):
            return None
        (ids,) = self._plain.encode([text.decode()], [False])
        parts = [self.bytes_of.get(id) for id in ids]
        known = [part for part in parts if part is not None]
        return ids[0] if len(known) == len(parts) and b"".join(known) == text else None


def _is_part(text: bytes) -> bool:
    """Whether bytes are no text by themselves, but part of a character's."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False


def _read(tokenizer: PreTrainedTokenizerFast) -> dict[int, bytes]:
    """The bytes of ordinary tokens, by id, as their spelling says."""
    added = tokenizer.added_tokens_decoder
    # Runs of white space are text even where they are added tokens.
    found = {
        id: token.content.encode()
        for id, token in added.items()
        if token.content.isspace() and not token.special
    }
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    steps = {step["type"]: step for step in _steps(state["decoder"])}
    spaces = "Metaspace" in steps or steps.get("Replace", {}).get("pattern") == {"String": SPACE}
    if "ByteLevel" not in steps and not spaces:
        raise UserError(_refusal(tokenizer))
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    for piece, id in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        if id in added:
            continue
        if "ByteLevel" in steps:
            if all(character in byte_of for character in piece):
                found[id] = bytes(byte_of[character] for character in piece)
        elif "ByteFallback" in steps and (byte := BYTE.fullmatch(piece)):
            found[id] = bytes([int(byte[1], 16)])
        else:
            found[id] = piece.replace(SPACE, " ").encode()
    return found


def _steps(decoder: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A decoder's steps, one after the other."""
    if decoder and decoder["type"] == "Sequence":
        for step in decoder["decoders"]:
            yield from _steps(step)
    elif decoder:
        yield decoder


def _refusal(tokenizer: PreTrainedTokenizerFast) -> str:
    return (
        f"train.distil: the tokens of {tokenizer.name_or_path or 'the base'} stand for no exact "
        "bytes, so the ledger's cannot be aligned with them; choose another base or remove distil"
    )
