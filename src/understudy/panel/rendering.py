"""Makes a model's answer safe to show: markdown becomes a few harmless tags, and nothing else.

An answer is hostile input. The parser is told to know no HTML, links and images become text, what
comes out is sanitised again by another library, and lengths and nesting are bounded, so that no
answer takes the server much more than a second. Rendered answers are kept, since many raters are
shown the same ones.

For checking raters an answer is cut into sentences, each of which can be marked. Cuts are made in
the parsed markdown, outside of bold, code and the like, and go through the sanitiser as characters
that no text can hold.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup

from understudy.pages.tidy import UNSHOWABLE

LONGEST = 30_000  # characters of an answer that are shown
LONGEST_BLOCK = 4_000  # characters of a paragraph with markup in it; its parsing is not linear
MOST_CELLS = 20_000  # of a table; the parser fills short rows up to the longest
DEEPEST = 40  # quotes and lists in one another; the parser drops what is deeper
MOST_SENTENCES = 200  # of an answer that can be marked
KEPT = 1000  # rendered answers
TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6"}  # below the page's own
BREAKS = ("softbreak", "hardbreak")
# Noncharacters that stand for the ends of a sentence, within a paragraph and around a block.
OPEN, CLOSE, OPEN_BLOCK, CLOSE_BLOCK = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")
# A sentence ends with its mark and what closes behind it, before the start of the next.
_END = re.compile(
    r"""[.!?…]+["'”’)\]]*\s+(?=["'“‘(\[]?[^\W_a-z])|[。！？]+["'”’」』）]*\s*(?=\w)"""
)
_NO_END = re.compile(r"(?:\b(?:[A-Z]|Dr|Mrs?|Ms|Prof|St|No|vs|Fig|e\.g|i\.e|cf)|^\W*\d+)\.\s+$")
_WORD = re.compile(r"[^\W_]")


def plain(text: str, longest: int = LONGEST) -> str:
    """A text to be shown as it is, for the template to escape.

    Bounded in length, and without characters that no page can hold or that would rearrange it.
    """
    cut = len(text) - longest
    note = f"\n\n… [{cut:,} more characters]" if cut > 0 else ""
    shown = text[:longest].replace("\r\n", "\n").replace("\r", "\n")
    return _NONCHARACTERS.sub("�", UNSHOWABLE.sub("�", shown)) + note


@lru_cache(KEPT)
def answer(text: str) -> Markup:
    """A model's answer in tags that can do no harm."""
    return Markup(_html(_parsed(text)))


def answer_to_mark(text: str, control: Callable[[int], str]) -> Markup:
    """An answer with a control at the end of each sentence, of the first `MOST_SENTENCES`.

    Args:
        control: the HTML for the sentence with this number, from 0.
    """
    first, *rest = _around_controls(text)
    parts = [first]
    for sentence, piece in enumerate(rest):
        if sentence < MOST_SENTENCES:
            parts.append(control(sentence))
        parts.append(piece)
    return Markup("".join(parts))


@lru_cache(KEPT)
def _around_controls(text: str) -> tuple[str, ...]:
    html = (
        _html(list(_cut(_parsed(text))))
        .replace(OPEN, '<span class="sentence">')
        .replace(OPEN_BLOCK, '<div class="sentence">')
        .replace(CLOSE, f"{CLOSE}</span>")
        .replace(CLOSE_BLOCK, f"{CLOSE}</div>")
    )
    return tuple(html.split(CLOSE))


def _inline(state: StateCore) -> None:
    """The parser's step within paragraphs; of the very longest only lines are told apart."""
    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = []
        if len(token.content) > LONGEST_BLOCK:
            for line in token.content.split("\n"):
                token.children += [_text(line), Token("softbreak", "br", 0)]
        else:
            state.md.inline.parse(token.content, state.md, state.env, token.children)


def _parser(*more: str) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": DEEPEST})
    parser.core.ruler.at("inline", _inline)
    # Without references: what defines them would not be seen.
    return parser.enable(["strikethrough", *more]).disable("reference")


_PARSER, _WITHOUT_TABLES = _parser("table"), _parser()


def _parsed(text: str) -> list[Token]:
    shown = plain(text)
    lines = shown.split("\n")
    cells = len(lines) * max(line.count("|") for line in lines)
    tokens = (_WITHOUT_TABLES if cells > MOST_CELLS else _PARSER).parse(shown)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        return [Token("code_block", "code", 0, content=shown)]
    for token in tokens:
        token.tag = HEADINGS.get(token.tag, token.tag)
        token.children = list(_without_links(token.children or []))
    return tokens


def _without_links(tokens: Sequence[Token]) -> Iterator[Token]:
    """Links and images as text: nothing to follow, nothing that is fetched."""
    opened = []
    for token in tokens:
        if token.type == "link_open":
            opened.append(token)
        elif token.type == "link_close":
            link = opened.pop()
            if link.info != "auto":  # whose label is its address
                yield _text(f" ({link.attrs['href']})")
        elif token.type == "image":
            yield _text(f"[image: {token.content}]")
        else:
            yield token


def _html(tokens: Sequence[Token]) -> str:
    html = nh3.clean(
        _PARSER.renderer.render(tokens, _PARSER.options, {}),
        tags=TAGS,
        attributes={"ol": {"start"}},
        url_schemes=set(),
        link_rel=None,
    )
    # A wide table scrolls, for which a keyboard has to reach it.
    html = html.replace(
        "<table>", '<div class="wide" tabindex="0" role="group" aria-label="Table"><table>'
    ).replace("</table>", "</table></div>")
    return UNSHOWABLE.sub("�", html)  # entities may have brought them in again


def _cut(tokens: Sequence[Token]) -> Iterator[Token]:
    """Put sentences between their characters; a code block and a table's row count as one each."""
    for place, token in enumerate(tokens):
        if token.type in ("fence", "code_block") and _WORD.search(token.content):
            yield from (_text(OPEN_BLOCK), token, _text(CLOSE_BLOCK))
            continue
        if token.type == "inline":
            children = token.children or []
            if tokens[place - 1].type == "paragraph_open":
                token.children = _sentences(children)
            elif [after.type for after in tokens[place + 1 : place + 3]] == [
                "td_close",
                "tr_close",
            ]:
                token.children = [_text(OPEN), *children, _text(CLOSE)]
        yield token


def _sentences(tokens: list[Token]) -> list[Token]:
    """Cut a paragraph at the sentences' ends that lie outside of any tag."""
    words = ["\n" if token.type in BREAKS else token.content for token in tokens]
    whole = "".join(words)
    if not _WORD.search(whole):
        return tokens
    starts = _starts(whole)
    found, at, depth = [_text(OPEN)], 0, 0
    for token, own in zip(tokens, words, strict=True):
        here = [
            start - at for start in starts[bisect_right(starts, at) :] if start <= at + len(own)
        ]
        if here and depth == 0 and token.type == "text":
            parts = (own[start:end] for start, end in pairwise((0, *here, len(own))))
            token.content = (CLOSE + OPEN).join(parts)
        elif here and depth == 0 and token.type in BREAKS:
            found.append(_text(CLOSE + OPEN))
        found.append(token)
        at += len(own)
        depth += token.nesting
    return [*found, _text(CLOSE)]


def _starts(text: str) -> list[int]:
    """Where sentences begin in a text, without the first."""
    starts, last = [], 0
    for end in _END.finditer(text):
        sentence = text[last : end.end()]
        if _WORD.search(sentence) and not _NO_END.search(sentence):
            last = end.end()
            starts.append(last)
    return starts


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)
