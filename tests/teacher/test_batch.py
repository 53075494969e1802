"""Batches: every line answered, whatever is killed or stumbles, and none paid for twice."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teacher.batch_server import CHAT, KEY, Found, Ours, Provider, at, bodies
from understudy.errors import UserError
from understudy.files import canonical_json, digest, read_json, read_jsonl
from understudy.recipe import TeacherSettings, WorldSettings
from understudy.teacher import batch, provider, wire
from understudy.teacher.batch import BatchLine, answers
from understudy.world.batches import Batching
from understudy.world.openai import MODEL
from understudy.world.server import Faults, running_teacher

WORLD = WorldSettings(people=20)


class Killed(BaseException):
    """Stands for the end of the process."""


class WorldsOwn(Ours):
    """The same at the world's teacher, with a log of what it answered."""

    def __init__(self, folder: Path, teacher: wire.Teacher) -> None:
        super().__init__(folder, teacher.base_url, teacher.endpoints[0].key)

    def run(self, lines: list[BatchLine], **more: Any) -> Found:
        return asyncio.run(self.ask(lines, **more))

    @property
    def answered(self) -> Counter[str]:
        """How often each body was answered."""
        rows = [row for _, row in read_jsonl(self.folder / "log.jsonl")]
        return Counter(row["digest"] for row in rows if row["status"] == 200)


@contextmanager
def world(folder: Path, *args: Any, **more: Any) -> Iterator[WorldsOwn]:
    settings = TeacherSettings()
    with running_teacher(WORLD, settings, folder / "log.jsonl", *args, **more) as teacher:
        yield WorldsOwn(folder, teacher)


def sha(line: BatchLine) -> str:
    return hashlib.sha256(line.body.encode()).hexdigest()


def once_each(lines: list[BatchLine]) -> Counter[str]:
    return Counter(sha(line) for line in lines)


# At the world's teacher


def test_every_line_gets_the_answer_that_a_single_call_gets(tmp_path: Path) -> None:
    lines = bodies(20)
    with world(tmp_path) as ours:
        found = ours.run(lines)
        assert set(found) == {line.key for line in lines}
        headers = {"Authorization": f"Bearer {ours.key}"}
        for line in lines[:3]:
            url = f"{ours.base_url}/chat/completions"
            alone = httpx.post(url, content=line.body, headers=headers).json()
            status, body = found[line.key]
            assert (status, body["choices"]) == (200, alone["choices"])
        assert ours.live == []
        assert "completed, 20 of 20 done" in ours.said[-1]
        assert ours.key
        assert ours.key not in ours.journal.read_text() + "".join(ours.said)


def test_the_older_interface(tmp_path: Path) -> None:
    body = canonical_json({"model": MODEL, "prompt": "Hello", "max_tokens": 3})
    with world(tmp_path) as ours:
        found = ours.run([BatchLine(digest(body), body)], url="/v1/completions")
        ((status, answer),) = found.values()
        assert (status, answer["object"]) == (200, "text_completion")


def test_states_are_said_as_they_change(tmp_path: Path) -> None:
    slowly = Batching(delay_s=0.1, lines_a_tick=2, tick_s=0.03)
    with world(tmp_path, batching=slowly) as ours:
        ours.run(bodies(10))
        states = [text.split(": ")[1].split(",")[0] for text in ours.said]
        assert states[0] == "validating"
        assert states[-1] == "completed"
        assert "in_progress" in states
        assert len(ours.said) == len(set(ours.said))


@pytest.mark.parametrize("point", ["uploaded", "noted", "ordered", "looked"])
def test_a_kill_at_any_point_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    lines = bodies(10)
    order = provider.Provider.order

    async def order_and_die(*args: Any) -> str:
        await order(*args)
        raise Killed

    def die(*_: Any) -> Any:
        raise Killed

    where: dict[str, tuple[type, str, Callable[..., Any]]] = {
        "uploaded": (batch._Journal, "begin", die),
        "noted": (provider.Provider, "order", die),
        "ordered": (provider.Provider, "order", order_and_die),
        "looked": (provider.Provider, "look", die),
    }
    with world(tmp_path) as ours:
        with monkeypatch.context() as patch:
            patch.setattr(*where[point])
            with pytest.raises(Killed):
                ours.run(lines)
        assert set(ours.run(lines)) == {line.key for line in lines}
        assert ours.answered == once_each(lines)
        assert ours.live == []
        begun = read_json(ours.journal)["batches"]
        assert len(begun) == (2 if point == "noted" else 1)


def test_a_kill_while_answers_are_fetched(tmp_path: Path) -> None:
    lines = bodies(10)
    with world(tmp_path) as ours:
        first = ours.run(lines, most=4)
        assert len(ours.live) == 10
        rest = [line for line in lines if line.key not in first]
        second = ours.run(rest)
        assert set(first) | set(second) == {line.key for line in lines}
        assert not set(first) & set(second)
        assert ours.answered == once_each(lines)
        assert set(ours.live) == set(first)  # could be had again, and nobody waits for them
        assert ours.run([]) == {}
        assert set(ours.run(lines)) == {line.key for line in lines}
        assert ours.answered[sha(lines[0])] == (1 if lines[0].key in first else 2)


def test_a_kill_after_the_last_answer_fetches_it_again(tmp_path: Path) -> None:
    lines = bodies(5)
    with world(tmp_path) as ours:
        assert len(ours.run(lines, most=5)) == 5
        assert len(ours.run(lines)) == 5
        assert ours.answered == once_each(lines)


def test_new_lines_are_ordered_beside_those_of_an_earlier_start(tmp_path: Path) -> None:
    lines = bodies(8)
    with world(tmp_path, batching=Batching(delay_s=0.1)) as ours:
        ours.run(lines[:5], most=1)
        assert len(ours.run(lines)) == 8
        assert ours.answered == once_each(lines)
        assert len(read_json(ours.journal)["batches"]) == 2


def test_an_expired_batch_leaves_its_undone_lines_to_a_further_call(tmp_path: Path) -> None:
    lines = bodies(10)
    with world(tmp_path, batching=Batching(expire=0.5)) as ours:
        found: Found = {}
        for expected in (5, 3, 1, 1):
            new = ours.run([line for line in lines if line.key not in found])
            assert len(new) == expected
            found |= new
        assert ours.answered == once_each(lines)
        assert {status for status, _ in found.values()} == {200}


def test_a_cancelled_batch_gives_what_was_done(tmp_path: Path) -> None:
    with world(tmp_path, batching=Batching(lines_a_tick=1, tick_s=0.02)) as ours:
        headers = {"Authorization": f"Bearer {ours.key}"}

        def cancel(text: str) -> None:
            if "in_progress, 1" in text:
                name = text.split()[1].rstrip(":")
                httpx.post(f"{ours.base_url}/batches/{name}/cancel", headers=headers)

        lines = bodies(60)
        given = answers(ours.base_url, ours.key, CHAT, lines, ours.journal, cancel, 0.01)

        async def all_keys() -> set[str]:
            return {key async for key, _, _ in given}

        found = asyncio.run(all_keys())
        assert 0 < len(found) < 60
        assert len(ours.answered) == len(found)
        assert ours.live == []


def test_failed_lines_come_with_their_errors(tmp_path: Path) -> None:
    lines = bodies(40)
    with world(tmp_path, Faults(failing=0.3)) as ours:
        found = ours.run(lines)
        assert set(found) == {line.key for line in lines}
        statuses = Counter(status for status, _ in found.values())
        assert set(statuses) == {200, 500}
        assert statuses[200] == len(ours.answered)
        failed = [body for status, body in found.values() if status == 500]
        assert all(body["error"]["type"] == "server_error" for body in failed)
        assert f"{statuses[500]} of them failed" in ours.said[-1]


def test_a_batch_that_is_refused_names_its_first_error(tmp_path: Path) -> None:
    lines = [*bodies(2), *bodies(2, model="gpt\x07-4")]
    with world(tmp_path) as ours:
        with pytest.raises(UserError, match=r"line 3: .*\(model_not_found\); mend") as caught:
            ours.run(lines)
        assert str(caught.value).isprintable()
        assert ours.live == []
        assert len(ours.run(lines[:2])) == 2


def test_many_lines_are_split_over_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_LINES", 3)
    lines = bodies(10)
    with world(tmp_path) as ours:
        assert len(ours.run(lines)) == 10
        assert ours.answered == once_each(lines)
        assert len(read_json(ours.journal)["batches"]) == 4


def test_a_wrong_key_is_not_shown(tmp_path: Path) -> None:
    with world(tmp_path) as ours:
        wrong = Ours(tmp_path, ours.base_url)
        with pytest.raises(UserError, match="refuses the key") as caught:
            asyncio.run(wrong.ask(bodies(1)))
        assert KEY not in str(caught.value)


# The journal and the files


def test_a_broken_journal_is_not_written_over(tmp_path: Path) -> None:
    ours = Ours(tmp_path, "http://127.0.0.1:1/v1")
    for text in ("{", "[]", '{"batches": [{"id": 3}]}'):
        ours.journal.write_text(text)
        with pytest.raises(UserError, match=r"batches\.json"):
            asyncio.run(ours.ask(bodies(1)))
        assert ours.journal.read_text() == text


def test_batches_of_another_address_stay_in_the_journal(tmp_path: Path) -> None:
    entry = {"base_url": "http://other/v1", "url": CHAT, "token": "t", "id": None, "keys": ["a"]}
    (tmp_path / "batches.json").write_text(json.dumps({"batches": [entry]}))

    async def work(there: Provider, ours: Ours) -> None:
        assert len(await ours.ask(bodies(2))) == 2
        assert "GET /batches" not in there.asked
        assert read_json(ours.journal)["batches"][0] == entry

    at(Provider(), tmp_path, work)


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(1, 5), st.integers(200, 600))
def test_files_hold_every_line_once_within_the_limits(
    texts: list[str], most_lines: int, most_bytes: int
) -> None:
    lines = [BatchLine(digest(n), canonical_json({"text": t})) for n, t in enumerate(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "MOST_LINES", most_lines)
        patch.setattr(batch, "MOST_FILE_BYTES", most_bytes)
        files = list(batch._files(lines, CHAT))
    assert [key for keys, _ in files for key in keys] == [line.key for line in lines]
    rows = []
    for keys, content in files:
        found = [json.loads(row) for row in content.split(b"\n")[:-1]]
        assert [row["custom_id"] for row in found] == keys
        assert len(keys) <= most_lines
        assert len(content) <= most_bytes or len(keys) == 1
        rows += found
    assert [row["body"] for row in rows] == [{"text": text} for text in texts]
    assert all((row["method"], row["url"]) == ("POST", CHAT) for row in rows)
