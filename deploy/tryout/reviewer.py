"""The person at the terminal, as the collector knows them: one token, the public REST API."""

import threading
from types import TracebackType
from typing import Any

import httpx

from collector.cli.errors import CliError
from collector.cli.events import read_events
from deploy.tryout.board import Board, Facts
from deploy.tryout.errors import PartError, ProofError
from deploy.tryout.link import Access

# The collector sends a sign of life every 15 seconds.
_SILENCE_S = 45.0


class Reviewer:
    """Follows the requests onto the board, answers them, and asks the trail."""

    def __init__(self, access: Access, board: Board) -> None:
        self._board = board
        self._closing = False
        self._client = httpx.Client(
            base_url=f"{access.api}/api/v1",
            headers={"Authorization": f"Bearer {access.token}"},
            timeout=httpx.Timeout(15.0, read=_SILENCE_S),
            trust_env=False,
        )
        self._following = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Reviewer":
        self._thread.start()
        self._following.wait(_SILENCE_S)
        self._board.check()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        self._client.close()

    def decide(self, request: Facts, answer: str, reason: str) -> Facts:
        """Answer a request as shown; raise ProofError with the collector's own words if refused."""
        body = {
            "answer": answer,
            "reason": reason,
            "digest": request["digest"],
            "card": request["card_digest"],
            "via": "cli",
        }
        return self._post(f"/requests/{request['request']}/decision", body)

    def ask_trail(self, sql: str) -> Facts:
        """Return columns and rows of one query of the trail."""
        return self._post("/trail/query", {"sql": sql, "limit": 100})

    def _post(self, path: str, body: dict[str, object]) -> Facts:
        try:
            response = self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise PartError(f"the collector does not answer: {error}") from error
        answer: Any = response.json()
        if response.is_success:
            facts: Facts = answer
            return facts
        said = answer["error"]
        raise ProofError(f"the collector refused: {said['message']} {said['remedy']}")

    def _follow(self) -> None:
        try:
            with self._client.stream("GET", "/requests/stream") as response:
                response.raise_for_status()
                for event in read_events(response.iter_bytes()):
                    if event.name == "request":
                        self._board.put_request(event.data)
                    elif event.name == "ready":
                        self._following.set()
            lost = "it ended"
        except (httpx.HTTPError, httpx.StreamError, CliError, OSError) as error:
            lost = str(error)
        if not self._closing:
            self._board.fail(f"the collector's stream of requests broke off: {lost}")
        self._following.set()
