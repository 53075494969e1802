"""Check every link and picture of README.md, CONTRIBUTING.md and docs/.

    python docs_build/links.py [--online]

Files and anchors have to be there. Addresses are checked for their form, and with --online also
asked. Prints what is wrong, a line each, and exits with 1 if anything is.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
AGENT = {"User-Agent": "Mozilla/5.0 (a check of links)"}


class Link(NamedTuple):
    """Where a link or picture stands, and what it points to."""

    page: Path
    line: int
    target: str


def pages(root: Path) -> list[Path]:
    """What is checked."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]


def links(page: Path) -> Iterator[Link]:
    """All links and pictures of a page."""
    for block in _tokens(page):
        for token in block.children or ():
            target = token.attrs.get("href") or token.attrs.get("src")
            if target:
                yield Link(page, (block.map or [0])[0] + 1, str(target))


@cache
def anchors(page: Path) -> frozenset[str]:
    """What may stand behind # in links to a page, as GitHub makes it of headings."""
    seen: Counter[str] = Counter()
    found = set()
    tokens = _tokens(page)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            words = "".join(token.content for token in inline.children or ())
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(found)


def fault(link: Link) -> str | None:
    """What is wrong with a link, without asking anybody; None if nothing is."""
    if ":" in link.target.partition("/")[0]:
        parts = urlsplit(link.target)
        sound = parts.scheme == "https" and HOST.fullmatch(parts.hostname or "")
        return None if sound else "is no https address of a host"
    name, _, anchor = link.target.partition("#")
    target = link.page.parent / unquote(name) if name else link.page
    if not target.exists():
        return "is not there"
    if anchor and (target.suffix != ".md" or anchor not in anchors(target)):
        return "has no such heading"
    return None


def unanswered(address: str) -> str | None:
    """Why an address gives nothing; None if it does."""
    try:
        urlopen(Request(address, headers=AGENT), timeout=30).close()
    except HTTPError as error:
        # Some hosts refuse what is no browser; the page is there.
        return None if error.code in (403, 429) else f"answers {error.code}"
    except (URLError, TimeoutError, OSError) as error:
        return f"does not answer ({error})"
    return None


def faults(root: Path, online: bool = False) -> list[str]:
    """A line for each link that leads nowhere."""
    found = [link for page in pages(root) for link in links(page)]
    wrong = {link: why for link in found if (why := fault(link))}
    if online:
        outside = [link for link in found if "://" in link.target and link not in wrong]
        with ThreadPoolExecutor(8) as pool:
            whys = pool.map(unanswered, (link.target for link in outside))
            wrong |= {link: why for link, why in zip(outside, whys, strict=True) if why}
    return [
        f"{link.page.relative_to(root)}, line {link.line}: {link.target} {why}"
        for link, why in wrong.items()
    ]


@cache
def _tokens(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text("utf-8"))


if __name__ == "__main__":
    found = faults(ROOT, online="--online" in sys.argv[1:])
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.exit(bool(found))
