"""A tokenizer in GGUF's terms.

A GGUF file holds tokens and merges, but how text is split before them it only names: llama.cpp has
code of its own for each name (src/llama-vocab.cpp there). So a tokenizer is written only where it
does what one of these names stands for.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gguf import TokenType
from tokenizers import Regex, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from understudy.errors import UserError

BYTE_LEVEL, PIECES = "gpt2", "llama"  # GGUF's names; the second is SentencePiece's BPE
SPACE = "▁"  # SentencePiece's
BYTE_TOKENS = {f"<0x{byte:02X}>" for byte in range(256)}  # its way to write any character
ROLES = {  # GGUF's names of transformers'
    "bos": "bos",
    "eos": "eos",
    "unk": "unknown",
    "sep": "seperator",  # so spelt in llama.cpp
    "pad": "padding",
}
_CASELESS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CASELESS + r"\p{N}{1,3}" + _REST


@dataclass(frozen=True)
class Splitting:
    """How llama.cpp splits text before byte-level BPE.

    Attributes:
        regex: matches what is kept together; None: GPT-2's, which ByteLevel has built in.
        digits: whether each digit is split off first.
        whole_words: whether a word that is a token is taken without any merges.
    """

    regex: str | None = None
    digits: bool = False
    whole_words: bool = False

    def pre_tokenizer(self) -> pre_tokenizers.PreTokenizer:
        steps: list[pre_tokenizers.PreTokenizer] = []
        if self.digits:
            steps.append(pre_tokenizers.Digits(individual_digits=True))
        if self.regex:
            steps.append(pre_tokenizers.Split(Regex(self.regex), behavior="isolated"))
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not self.regex))
        return pre_tokenizers.Sequence(steps)


SPLITTINGS = {  # by llama.cpp's name
    "gpt-2": Splitting(),
    "starcoder": Splitting(digits=True),  # SmolLM's as well
    "llama-bpe": Splitting(_LLAMA3, whole_words=True),
    "smaug-bpe": Splitting(_LLAMA3),
    "qwen2": Splitting(_CASELESS + r"\p{N}" + _REST),
}


def tokenizer_fields(
    tokenizer: PreTrainedTokenizerBase, rows: int, ends: int | Sequence[int] | None
) -> tuple[dict[str, Any], list[str]]:
    """A tokenizer as GGUF's metadata.

    Args:
        tokenizer: with a tokenizers backend.
        rows: of the model's embeddings; those that no token has are filled up.
        ends: the tokens that end what the model writes, beside the tokenizer's own.

    Returns:
        Key and value; and what llama.cpp will do otherwise, in words.

    Raises:
        UserError: llama.cpp would split text otherwise, or there is no end token.
    """
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise _refused("it is not of the tokenizers library")
    given = json.loads(tokenizer.backend_tokenizer.to_str())
    if given["model"]["type"] != "BPE" or given["model"]["end_of_word_suffix"]:
        raise _refused(f"its kind is {given['model']['type']}, which must be BPE without suffixes")
    if (count := 1 + max(tokenizer.get_vocab().values())) > rows:
        raise _refused(f"it has {count} tokens, the model {rows} embeddings")
    by_pieces = bool(given["model"]["byte_fallback"])
    needed = BYTE_TOKENS if by_pieces else set(pre_tokenizers.ByteLevel.alphabet())
    if missing := sorted(needed - set(given["model"]["vocab"])):
        raise _refused(f"it has no token for {len(missing)} bytes, {missing[0]} the first")
    kind, notes = _pieces(given) if by_pieces else _byte_level(given)
    tokens, types = _tokens(given, rows, by_pieces)
    if by_pieces:
        kind["scores"] = _scores(given, tokens, types)
    kind |= {"tokens": tokens, "token_type": [int(one) for one in types]}
    fields = {f"tokenizer.ggml.{key}": value for key, value in kind.items()}
    return fields | _special(tokenizer, ends), notes + [
        f"{token['content']!r} takes the spaces beside it in transformers, not in llama.cpp"
        for token in given["added_tokens"]
        if token["lstrip"] or token["rstrip"]
    ]


def _byte_level(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """How a byte-level BPE splits text, and its merges.

    Raises:
        UserError: llama.cpp has no such way.
    """
    steps, normal = _steps(given["pre_tokenizer"]), _steps(given["normalizer"])
    whole_words = bool(given["model"].get("ignore_merges"))
    known = [
        name
        for name, splitting in SPLITTINGS.items()
        if steps == _steps(json.loads(splitting.pre_tokenizer().__getstate__()))
        and whole_words == splitting.whole_words
    ]
    if not known:
        raise _refused(f"it splits text in a way of its own ({json.dumps(steps)[:300]})")
    if normal not in ([], [{"type": "NFC"}]):
        raise _refused(f"it changes text first ({json.dumps(normal)[:300]})")
    notes = ["llama.cpp leaves characters as they are; transformers composes them (NFC)"]
    merges = [" ".join(pair) for pair in _merges(given)]
    return {"model": BYTE_LEVEL, "pre": known[0], "merges": merges}, notes if normal else []


def _pieces(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """How a BPE of SentencePiece's kind treats spaces.

    Raises:
        UserError: llama.cpp has no such way.
    """
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prepend = {"type": "Prepend", "prepend": SPACE}
    metaspace = {"type": "Metaspace", "replacement": SPACE, "split": False}
    steps = [*_steps(given["normalizer"]), *_steps(given["pre_tokenizer"])]
    if steps in ([prepend, replace], [replace]):
        return {"model": PIECES, "add_space_prefix": prepend in steps}, []
    scheme = steps[0].pop("prepend_scheme", None) if steps else None
    if steps != [metaspace]:
        raise _refused(f"it treats spaces in a way of its own ({json.dumps(steps)[:300]})")
    notes = ["llama.cpp puts a space before text that begins with one; transformers does not"]
    if scheme == "first":
        notes.append(
            "llama.cpp puts a space before text that follows a special token; transformers does not"
        )
    fields = {"model": PIECES, "add_space_prefix": scheme != "never"}
    return fields, notes if scheme != "never" else []


def _steps(given: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The parts of a normalizer or pre-tokenizer one by one, without what changes no token."""
    if given is None:
        return []
    inner = given.get("pretokenizers") or given.get("normalizers")
    if given["type"] == "Sequence":
        return [step for part in inner or [] for step in _steps(part)]
    return [{key: value for key, value in given.items() if key != "trim_offsets"}]


def _merges(given: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs of tokens in the order in which they are joined."""
    return [(left, right) for left, right in given["model"]["merges"]]


def _tokens(given: dict[str, Any], rows: int, by_pieces: bool) -> tuple[list[str], list[TokenType]]:
    """Tokens by id and what each is, as many as the embeddings have rows."""
    tokens = [f"[PAD{number}]" for number in range(rows)]
    types = [TokenType.UNUSED] * rows
    for token, number in given["model"]["vocab"].items():
        tokens[number], types[number] = token, TokenType.NORMAL
        if by_pieces and token in BYTE_TOKENS:
            types[number] = TokenType.BYTE
    for added in given["added_tokens"]:
        special = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], special
    unknown = given["model"]["unk_token"]
    if by_pieces and unknown in tokens:
        types[tokens.index(unknown)] = TokenType.UNKNOWN
    return tokens, types


def _special(
    tokenizer: PreTrainedTokenizerBase, ends: int | Sequence[int] | None
) -> dict[str, Any]:
    """Tokens with a role, whether the first and last are added to a text, and the chat template.

    Raises:
        UserError: there is no end token, or others are added to a text.
    """
    if tokenizer.eos_token_id is None:
        raise _refused("it has no end token, without which llama.cpp takes token 11 for one")
    fields: dict[str, Any] = {}
    for own, name in ROLES.items():
        if (number := getattr(tokenizer, f"{own}_token_id", None)) is not None:
            fields[f"tokenizer.ggml.{name}_token_id"] = number
    ends = [ends] if isinstance(ends, int) else ends or []
    others = [end for end in dict.fromkeys(ends) if end != tokenizer.eos_token_id]
    for name, number in zip(("eot", "eom"), others, strict=False):
        fields[f"tokenizer.ggml.{name}_token_id"] = number
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    opens = whole[:1] == [tokenizer.bos_token_id]
    closes = whole[-1:] == [tokenizer.eos_token_id]
    if whole[opens : len(whole) - closes] != plain:
        raise _refused("it adds tokens to a text beside the first and the last")
    fields["tokenizer.ggml.add_bos_token"] = opens
    fields["tokenizer.ggml.add_eos_token"] = closes
    template = tokenizer.chat_template
    if template := template.get("default") if isinstance(template, dict) else template:
        fields["tokenizer.chat_template"] = template
    return fields


def _scores(
    given: dict[str, Any], tokens: Sequence[str], types: Sequence[TokenType]
) -> list[float]:
    """What llama.cpp joins by: of all neighbours that make a token, those that score highest.

    Raises:
        UserError: merges join some in another order, or leave some apart.
    """
    merges = _merges(given)
    joined = [token for token, _ in groupby(merges, key="".join)]
    rank = {token: place for place, token in enumerate(joined)}
    scores = [-float(rank.get(token, len(rank))) for token in tokens]
    if len(rank) < len(joined) or set(merges) != set(implied_merges(tokens, types, scores)):
        raise _refused("its merges are not SentencePiece's, which joins whatever makes a token")
    return scores


def implied_merges(
    tokens: Sequence[str], types: Sequence[int], scores: Sequence[float]
) -> Iterator[tuple[str, str]]:
    """The merges that scores stand for, the highest score first."""
    plain = [token for token, kind in zip(tokens, types, strict=True) if kind == TokenType.NORMAL]
    known, score = set(plain), dict(zip(tokens, scores, strict=True))
    for token in sorted(plain, key=lambda token: -score[token]):
        for cut in range(1, len(token)):
            if token[:cut] in known and token[cut:] in known:
                yield token[:cut], token[cut:]


def _refused(reason: str) -> UserError:
    return UserError(
        f"the tokenizer cannot be written as GGUF, since llama.cpp would read text otherwise: "
        f"{reason}"
    )
