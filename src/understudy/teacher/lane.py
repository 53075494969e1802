"""One endpoint: its connections, and what a call to it comes to."""

import aiohttp
import yarl
from aiohttp.http_exceptions import ContentEncodingError

from understudy.teacher.pace import Pace
from understudy.teacher.wire import (
    MOST_BYTES,
    Again,
    Completion,
    Endpoint,
    Failure,
    Teacher,
    parse,
    proxy_for,
    refusal,
    without_key,
)

CONNECT_S = 10.0
UNREACHABLE = "unreachable"
Outcome = tuple[Completion, str] | Again | Failure  # of a call; an answer with its body


class Lane:
    """An endpoint in use: its pace, its connections, and how a call to it ends."""

    def __init__(self, teacher: Teacher, endpoint: Endpoint) -> None:
        self.endpoint, self.pace = endpoint, Pace(teacher.concurrency)
        self.alive, self.workers = True, 0
        self._teacher, self._url = teacher, yarl.URL(endpoint.base_url + teacher.route)
        headers = {"Content-Type": "application/json"}
        if endpoint.key:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=teacher.timeout_s, sock_connect=min(CONNECT_S, teacher.timeout_s / 2)
            ),
            proxy=proxy_for(endpoint.base_url),
        )

    async def close(self) -> None:
        await self._http.close()

    async def reach(self, body: str, entered: float, usual: float) -> Outcome:
        """Send a body in the place that was entered: an answer, or what went wrong.

        `usual` are the tokens of a usual call.

        Raises:
            UserError: no call to this endpoint can succeed until the user mends something.
        """
        try:
            return await self._post(body, entered, usual)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Again(Failure(UNREACHABLE, str(error) or type(error).__name__))
        except TimeoutError:
            limit = f"no whole answer within {self._teacher.timeout_s:g} s"
            return Again(Failure("timeout", limit), slower=True, billed=True)
        except aiohttp.ClientError as error:
            if isinstance(error.__cause__, ContentEncodingError):
                failure = Failure("broken", "the answer's compression is broken")
            else:
                failure = Failure("cut", f"the connection broke ({type(error).__name__})")
            return Again(failure, billed=True)

    async def _post(self, body: str, entered: float, usual: float) -> Outcome:
        async with self._http.post(
            self._url, data=body.encode(), allow_redirects=False
        ) as response:
            received = bytearray()
            while piece := await response.content.readany():
                received += piece
                if len(received) > MOST_BYTES:
                    limit = f"the answer is longer than {MOST_BYTES // 2**20} MiB"
                    return Failure("too_long", limit)
        headers = response.headers
        self.pace.hear(entered, headers, usual)
        if response.status != 200:
            return refusal(self._teacher, self.endpoint, response.status, bytes(received), headers)
        content = without_key(self.endpoint, bytes(received))
        completion = parse(content)
        return completion if isinstance(completion, Again) else (completion, content.decode())
