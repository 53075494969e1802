"""HTML, as exports of chats have it, turned into markdown; HTML that is spoken of is left alone.

An export is told by how it is built. It opens with a block tag and ends with a tag, every tag is
one that a chat's page uses and is closed, and every other `<` is an entity. Two kinds of evidence
then make it markup: the page's own container (a `div` of class markdown or prose, as ShareGPT's
exports have it), or, where nobody in the dialogue asks for HTML, the lack of whatever written HTML
has: attributes of style or function, and indented tags.
"""

import html
import re
from collections.abc import Sequence
from typing import Any

from bs4 import BeautifulSoup, Tag
from markdownify import ATX, MarkdownConverter

CONTAINER = re.compile(r'<div\s[^<>]{0,200}?class="[^"<>]{0,300}?\b(?:markdown|prose)\b')
OPENING = re.compile(r"<(?:p|div|ol|ul|pre|h[1-6]|blockquote|table)\b")
TAG = re.compile(r'<(/?)([a-z][a-z0-9]{0,15})((?:[^<>"]|"[^"<]*")*)>')
ATTRIBUTE = re.compile(r'([\w:-]{1,40})(?:="([^"]*)")?')
INDENTED = re.compile(r"\n[ \t]+<(?!/?(?:span|code)\b)")
ASKED = re.compile(
    r"\b(?:x?html\d?|xml|svg|css|jsx|markup|tags?|elements?|web ?pages?|web ?sites?)\b",
    re.IGNORECASE,
)
VOID = {"br", "hr", "img"}
TAGS = """
p div section details summary span ol ul li pre code h1 h2 h3 h4 h5 h6 blockquote a strong b em i u
s del sub sup kbd table thead tbody tfoot tr th td button svg g path rect line polyline polygon
circle math semantics annotation mrow mi mo mn mtext mspace msup msub msubsup mfrac msqrt mroot
mover munder munderover mtable mtr mtd mstyle mpadded mphantom menclose
"""
PAGE = VOID | set(TAGS.split())
PLAIN_ATTRIBUTES = {"href", "src", "alt", "title", "start", "rel", "target", "align", "colspan"}
CODE_CLASS = re.compile(r"(?:!?whitespace-pre!?|code|hljs|language-|lang-|token|prettyprint)")
DEEPEST, MOST_TAGS, MOST_ITEMS = 60, 20_000, 2000  # beyond these a text stays as it is
ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|hellip|[mn]dash|[lr][sd]quo|#39|#34|#x27|#x2F|#82\d\d);"
)
LANGUAGE = re.compile(r"[\w+#.-]{1,20}")
CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)


def without_markup(turns: Sequence[str]) -> list[tuple[str, str]]:
    """What became of each turn of a dialogue: its text, and "markup", "entities" or ""."""
    if not any("<" in text or "&" in text for text in turns):
        return [(text, "") for text in turns]
    exported = any(CONTAINER.match(text.lstrip()) for text in turns)
    asked = any(ASKED.search(TAG.sub(" ", text)) for text in turns)
    return [_plain(text, exported, asked) for text in turns]


def _plain(text: str, exported: bool, asked: bool) -> tuple[str, str]:
    stripped = text.strip()
    if OPENING.match(stripped) and stripped[-1] == ">":
        rendered = _tags(stripped)
        if rendered is not None and (exported or not (asked or _written(stripped, rendered))):
            return to_markdown(stripped), "markup"
        return text, ""
    if "&" in text and (exported or not (asked or re.search(r"<|[\"'`]&", text))):
        parts = CODE.split(text)
        parts[::2] = [ENTITY.sub(_character, part) for part in parts[::2]]
        decoded = "".join(parts)
        if decoded != text:
            return decoded, "entities"
    return text, ""


def _tags(text: str) -> list[tuple[str, str]] | None:
    """Name and attributes of every opening tag; None where a text is not built as a page is."""
    tags: list[tuple[str, str]] = []
    open_tags: list[str] = []
    items = position = 0
    while (position := text.find("<", position)) >= 0:
        match = TAG.match(text, position)
        if match is None or match[2] not in PAGE:
            return None
        closing, name, attributes = match.groups()
        if closing:
            if not open_tags or open_tags.pop() != name:
                return None
        else:
            tags.append((name, attributes))
            items += name in ("li", "tr", "td", "th")
            if name not in VOID and not attributes.endswith("/"):
                open_tags.append(name)
        if len(open_tags) > DEEPEST or len(tags) > MOST_TAGS or items > MOST_ITEMS:
            return None
        position = match.end()
    return None if open_tags else tags


def _written(text: str, tags: list[tuple[str, str]]) -> bool:
    """Whether the text looks like HTML that somebody wrote rather than a page that was copied."""
    if INDENTED.search(text):
        return True
    return any(
        not (name in PLAIN_ATTRIBUTES or (name == "class" and CODE_CLASS.match(value)))
        for _, attributes in tags
        for name, value in ATTRIBUTE.findall(attributes)
    )


def _character(entity: re.Match[str]) -> str:
    return html.unescape(entity[0]).replace("\xa0", " ")


class _Converter(MarkdownConverter):
    """Markdownify with fences that hold any code, and cells that hold any text."""

    def convert_pre(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        code = el.get_text().strip("\n")
        fence = "```"
        while fence in code:
            fence += "`"
        return f"\n\n{fence}{el.get('data-language', '')}\n{code}\n{fence}\n\n"

    def convert_br(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return " " if "_inline" in parent_tags else "\n"

    def convert_td(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return str(super().convert_td(el, text.replace("|", r"\|"), parent_tags))  # type: ignore[misc]

    convert_th = convert_td


CONVERTER = _Converter(
    heading_style=ATX,
    bullets="-",
    escape_asterisks=False,
    escape_underscores=False,
    sub_symbol="<sub>",
    sup_symbol="<sup>",
)


def to_markdown(text: str) -> str:
    """The markdown of a page's HTML; buttons and pictures of the page itself are left out."""
    soup = BeautifulSoup(text, "html.parser")
    for part in soup(["button", "svg"]):
        part.decompose()
    for name, mark in (("katex-display", "$$"), ("katex", "$")):
        for formula in soup(class_=name):
            source = formula.find("annotation")
            if source is not None:
                formula.replace_with(f"{mark}{source.get_text().strip()}{mark}")
    for block in soup("pre"):
        code = block.find("code") or block
        block["data-language"] = _language(block, code)
        block.string = code.get_text()
    return str(CONVERTER.convert_soup(soup)).replace("\xa0", " ").strip()


def _language(block: Any, code: Any) -> str:
    """The language of a block of code: from its class, or from the head above it."""
    for name in code.get("class", []):
        prefix, dash, language = name.partition("-")
        if dash and prefix in ("language", "lang"):
            return str(language)
    head = block.find("span")
    if head is None or code is block or code in head.parents:
        return ""
    label = head.get_text().strip()
    return label if LANGUAGE.fullmatch(label) else ""
