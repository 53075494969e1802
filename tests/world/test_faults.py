"""What goes wrong on demand, and the limits that are announced and kept."""

import json
import time
from pathlib import Path

import httpx
import pytest

from understudy.recipe import TeacherSettings
from understudy.world.server import Faults, Limits, running_teacher
from world.asking import WORLD, Client, error_of

FAULTS = ("limited", "failing", "slow", "cut", "broken", "unavailable")


def test_faults_come_as_ordered_and_in_the_same_places() -> None:
    faults = Faults(0.1, 0.2, 0.1, 0.2, 0.1, 0.1, seed=4)
    drawn = [faults.draw(number) for number in range(4000)]
    assert drawn == [faults.draw(number) for number in range(4000)]
    for name in FAULTS:
        assert drawn.count(name) / 4000 == pytest.approx(getattr(faults, name), abs=0.03)
    assert not any(Faults().draw(number) for number in range(100))


@pytest.mark.parametrize("stream", [False, True])
def test_each_fault_is_what_it_is_called(tmp_path: Path, stream: bool) -> None:
    def first(name: str) -> httpx.Response:
        log = tmp_path / name
        with running_teacher(WORLD, TeacherSettings(), log, Faults(**{name: 1.0}, slow_s=0)) as t:
            return Client(t, log).post(stream=stream)

    limited = first("limited")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "1")
    assert error_of(limited)["code"] == "rate_limit_exceeded"
    failing = first("failing")
    assert (failing.status_code, error_of(failing)["type"]) == (500, "server_error")
    unavailable = first("unavailable")
    assert (unavailable.status_code, unavailable.headers["retry-after"]) == (503, "1")
    assert error_of(unavailable)["type"] == "service_unavailable"
    assert first("slow").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        first("cut")
    broken = first("broken")
    assert broken.status_code == 200
    assert "[DONE]" not in broken.text
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken.text.split("data: ")[-1])


# Limits


def left(response: httpx.Response, name: str) -> int:
    return int(response.headers[f"x-ratelimit-remaining-{name}"])


def test_more_requests_than_the_limit_wait_for_the_next_window(tmp_path: Path) -> None:
    limits = Limits(requests_per_minute=3)
    with running_teacher(WORLD, TeacherSettings(), tmp_path / "log", limits=limits) as teacher:
        client = Client(teacher, tmp_path / "log")
        found = [client.post(seed=seed) for seed in range(4)]
        assert [response.status_code for response in found] == [200, 200, 200, 429]
        assert [left(response, "requests") for response in found] == [2, 1, 0, 0]
        refused = found[-1]
        assert refused.headers["x-ratelimit-limit-requests"] == "3"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
        error = error_of(refused)
        assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
        assert [row["status"] for row in client.rows()] == [200, 200, 200, 429]


def test_a_new_window_has_everything_again(tmp_path: Path) -> None:
    limits = Limits(requests_per_minute=1, window_s=0.2)
    with running_teacher(WORLD, TeacherSettings(), tmp_path / "log", limits=limits) as teacher:
        client = Client(teacher, tmp_path / "log")
        statuses = [client.post().status_code]
        while statuses.count(200) < 2:
            response = client.post()
            assert response.headers["x-ratelimit-reset-requests"].endswith("ms")
            statuses.append(response.status_code)
            assert len(statuses) < 500, "no new window ever came"
            time.sleep(0.01)
        assert set(statuses) == {200, 429}


def test_tokens_have_a_limit_too(tmp_path: Path) -> None:
    with running_teacher(WORLD, TeacherSettings(), tmp_path / "free") as teacher:
        used = Client(teacher, tmp_path / "free").post(seed=1).json()["usage"]["total_tokens"]
    limits = Limits(tokens_per_minute=used + used // 2)
    with running_teacher(WORLD, TeacherSettings(), tmp_path / "log", limits=limits) as teacher:
        client = Client(teacher, tmp_path / "log")
        first, second = client.post(seed=1), client.post(seed=1)
        assert (first.status_code, left(first, "tokens")) == (200, used // 2)
        assert (second.status_code, left(second, "tokens")) == (429, used // 2)
        assert error_of(second)["type"] == "tokens"
        short = client.post(seed=1, max_tokens=1)
        assert short.status_code == 200
