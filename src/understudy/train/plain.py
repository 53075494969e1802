"""Text from strangers as token ids, none of which is a control token.

A tokenizer finds its added tokens in any text, special ones unless that is switched off, others
always; a Unigram or word-level model finds them in its vocabulary even then, and a normalizer can
make one of letters that did not spell it. So plain text is encoded by a copy of the tokenizer in
which every such token has a name that no text holds. Ids and everything else are the original's.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast


class PlainTokenizer:
    """Encodes text in which nothing is a control token.

    Runs of white space that a tokenizer has as added tokens (GPT-NeoX and Gemma do, for indented
    code) are text, and stay.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Copy `tokenizer`, which has some control token."""
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        self._control = next(iter(_rename(state).values()))
        self._tokenizer = Tokenizer.from_str(json.dumps(state))

    def encode(self, texts: Sequence[str], opening: Sequence[bool]) -> list[list[int]]:
        """Token ids of each text.

        Args:
            texts: any texts.
            opening: whether a text opens a dialogue; every other is encoded as what follows a
                control token, since some tokenizers put a space before the first word alone.
        """
        shown = [
            text if opens else self._control + text
            for text, opens in zip(texts, opening, strict=True)
        ]
        encodings = self._tokenizer.encode_batch_fast(shown, add_special_tokens=False)
        return [
            encoding.ids if opens else encoding.ids[1:]
            for encoding, opens in zip(encodings, opening, strict=True)
        ]


def _rename(state: dict[str, Any]) -> dict[str, str]:
    """Give the control tokens of a serialised tokenizer names that no text holds; returns them."""
    model = state["model"]
    vocabulary = model["vocab"]
    if model.get("unk_token") in vocabulary:  # which the model must find by its own name
        state["added_tokens"] = [
            token for token in state["added_tokens"] if token["content"] != model["unk_token"]
        ]
    names = {}
    for token in state["added_tokens"]:
        if token["special"] or not token["content"].isspace():
            names[token["content"]] = f"\ue000{secrets.token_hex(16)}\ue001"
            token |= {"content": names[token["content"]], "normalized": False}
            token |= {"single_word": False, "lstrip": False, "rstrip": False}
    if isinstance(vocabulary, list):  # Unigram: pieces with their scores, in the order of ids
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocabulary]
    else:
        model["vocab"] = {names.get(piece, piece): id for piece, id in vocabulary.items()}
    if model.get("merges"):
        model["merges"] = [
            (left, right)
            for left, right in model["merges"]
            if not {left, right, left + right} & names.keys()
        ]
    state |= {"truncation": None, "padding": None, "post_processor": None}
    return names
