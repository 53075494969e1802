"""Handing requests over in batches: OpenAI's Batch API, at a lower price, within a day.

Lines are uploaded as files, a batch is ordered for each, and the answers are fetched when it has
ended. A journal on disk names every batch before it is ordered, by a token that travels in the
batch's metadata. So whenever a start is killed, the next one finds the batches that were ordered,
also the one whose id never arrived, and orders only what no batch holds: nothing is paid for twice.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from understudy.errors import UserError
from understudy.files import read_json, write_text
from understudy.teacher.provider import ENDED, Id, Provider, Url, provider_at
from understudy.teacher.wire import Endpoint

MOST_LINES, MOST_FILE_BYTES = 50_000, 200 * 10**6  # platform.openai.com/docs/guides/batch


@dataclass(frozen=True)
class BatchLine:
    """One request: its key of 64 hexadecimal digits, and its body as canonical JSON."""

    key: str
    body: str


async def answers(
    base_url: str,
    api_key: str | None,
    url: Url,
    lines: list[BatchLine],
    journal: Path,
    say: Callable[[str], None],
    poll_s: float = 15.0,
) -> AsyncGenerator[tuple[str, int, bytes], None]:
    """Have lines answered in batches, and yield (key, HTTP status, body) as batches end.

    A line with an error and no response comes with status 500 and the error as its body. Lines that
    a batch left undone when it expired or was cancelled do not come; a further call orders them
    anew. A batch is done with once the answer after its last one is asked for; until then a later
    start fetches it again.

    Args:
        base_url: the provider's address, up to its /v1.
        api_key: travels in the header and nowhere else.
        url: what each line is a request to.
        lines: what to ask; their keys differ.
        journal: a JSON file of the batches that were ordered, made if it is missing. One process
            at a time may use it.
        say: shown how the batches go.
        poll_s: seconds between two looks at them.

    Raises:
        UserError: the provider refuses the key, a file or a batch, or stays unreachable for some
            minutes, or the journal cannot be read or written.
    """
    wanted = {line.key: line for line in lines}
    book = _Journal(journal, base_url, url)
    async with provider_at(Endpoint(base_url, api_key), journal, say) as provider:
        await _adopt(provider, book)
        waiting = [entry for entry in book.live if not wanted.keys().isdisjoint(entry.keys)]
        ordered = False
        while waiting or not ordered:
            for entry in list(waiting):
                batch = await provider.look(str(entry.id))
                if batch.status == "failed":
                    book.settle(entry, entry.keys)
                    raise UserError(provider.failure(batch))
                if batch.status in ENDED:
                    asked = wanted.keys() & entry.keys
                    async with aclosing(provider.results(batch, asked)) as results:
                        async for key, status, body in results:
                            del wanted[key]
                            yield key, status, body
                    book.settle(entry, asked)
                    waiting.remove(entry)
            if not ordered:
                held = {key for entry in book.live for key in entry.keys}
                fresh = [line for key, line in wanted.items() if key not in held]
                for keys, content in _files(fresh, url):
                    waiting.append(await _order(provider, book, keys, content))
                ordered = True
            elif waiting:
                await asyncio.sleep(poll_s)


def ordered(base_url: str, url: Url, journal: Path) -> set[str]:
    """The keys of lines that batches of earlier starts hold."""
    return {key for entry in _Journal(journal, base_url, url).live for key in entry.keys}


async def _adopt(provider: Provider, book: "_Journal") -> None:
    """Find out which of the batches without an id were ordered; the others hold nothing."""
    doubtful = [entry for entry in book.live if entry.id is None]
    if doubtful:
        found = await provider.find({entry.token for entry in doubtful})
        for entry in doubtful:
            if entry.token in found:
                book.name(entry, found[entry.token])
            else:
                book.settle(entry, entry.keys)


async def _order(provider: Provider, book: "_Journal", keys: list[str], content: bytes) -> "_Entry":
    """Hand one file over and order its batch, with the journal a step ahead."""
    file_id = await provider.upload(content)
    entry = book.begin(keys)
    book.name(entry, await provider.order(file_id, book.url, entry.token))
    return entry


def _files(lines: Iterable[BatchLine], url: Url) -> Iterator[tuple[list[str], bytes]]:
    """The lines as input files of batches, each with the keys that it holds."""
    keys: list[str] = []
    content = bytearray()
    for line in lines:
        text = f'{{"custom_id":"{line.key}","method":"POST","url":"{url}","body":{line.body}}}\n'
        row = text.encode()
        if keys and (len(keys) == MOST_LINES or len(content) + len(row) > MOST_FILE_BYTES):
            yield keys, bytes(content)
            keys, content = [], bytearray()
        keys.append(line.key)
        content += row
    if keys:
        yield keys, bytes(content)


class _Entry(BaseModel):
    """A batch that is about to be ordered or was.

    Attributes:
        token: in the batch's metadata.
        id: the provider's; None from before the order until its answer.
        keys: of its lines whose results are still to be had; none: the batch is done with.
    """

    base_url: str
    url: str
    token: str
    id: Id | None
    keys: list[str]


class _Entries(BaseModel):
    batches: list[_Entry] = []


class _Journal:
    """The batches of all starts, on disk after every change."""

    def __init__(self, path: Path, base_url: str, url: Url) -> None:
        self._path, self._base_url, self.url = path, base_url, url
        try:
            self._all = _Entries.model_validate(read_json(path) if path.exists() else {})
        except ValidationError:
            raise UserError(
                f"{path}: is no journal of batches; restore it, or move it away to ask, and pay "
                "for, what it held anew"
            ) from None

    @property
    def live(self) -> list[_Entry]:
        """The batches at this address that are not done with."""
        here = (self._base_url, self.url)
        return [e for e in self._all.batches if e.keys and (e.base_url, e.url) == here]

    def begin(self, keys: list[str]) -> _Entry:
        token = secrets.token_hex(16)
        entry = _Entry(base_url=self._base_url, url=self.url, token=token, id=None, keys=keys)
        self._all.batches.append(entry)
        self._save()
        return entry

    def name(self, entry: _Entry, batch_id: str) -> None:
        entry.id = batch_id
        self._save()

    def settle(self, entry: _Entry, keys: Iterable[str]) -> None:
        """These lines have no more to expect of the batch."""
        settled = set(keys)
        entry.keys = [key for key in entry.keys if key not in settled]
        self._save()

    def _save(self) -> None:
        write_text(self._path, self._all.model_dump_json() + "\n")
