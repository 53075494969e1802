"""What tests need to speak to the world's teacher."""

import json
from pathlib import Path
from typing import Any

import httpx

from understudy.recipe import WorldSettings
from understudy.teacher.wire import Teacher
from understudy.world.openai import MODEL

WORLD = WorldSettings(people=20)
TIPS = [{"role": "user", "content": "Give me some tips for bread baking."}]


class Client:
    """Speaks to a running teacher as its holder does."""

    def __init__(self, teacher: Teacher, log: Path) -> None:
        self.teacher, self.log, self.key = teacher, log, str(teacher.endpoints[0].key)
        self.http = httpx.Client(
            base_url=teacher.base_url, headers={"authorization": f"Bearer {self.key}"}
        )

    def post(self, **body: Any) -> httpx.Response:
        asked = {"model": MODEL, "messages": TIPS} | body
        return self.http.post("/chat/completions", json=asked)

    def rows(self) -> list[dict[str, Any]]:
        """The log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def texts(self, **body: Any) -> list[str]:
        found = self.post(**body)
        assert found.status_code == 200, found.text
        return [choice["message"]["content"] for choice in found.json()["choices"]]

    def events(self, **body: Any) -> list[dict[str, Any]]:
        found = self.post(stream=True, **body)
        assert found.headers["content-type"].startswith("text/event-stream")
        *data, done, nothing = found.text.split("\n\n")
        assert (done, nothing) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in data]


def error_of(response: httpx.Response) -> dict[str, Any]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)
