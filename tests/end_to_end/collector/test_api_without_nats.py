"""The whole API against its own description while NATS is away: what needs it says so, in full."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from tests.end_to_end.collector.conftest import WAIT_S, People, follow, populate
from tests.end_to_end.collector.test_hostile_api import ENDLESS, LOOSE, TAKE_NOTHING, examples
from tests.support.centre import Centre, centre
from wire.ids import HoldId

pytestmark = pytest.mark.nats

# What can only be done through NATS, when nothing else stands against it.
_NEED_NATS = {
    "/api/v1/requests/{request_id}/decision": {"answer": "deny", "reason": "NATS is away"},
    "/api/v1/requests/{request_id}/comments": {"text": "NATS is away"},
    "/api/v1/asks": {"action": "deploy", "resource": "shop", "why": "NATS is away"},
}
# What needs it too, where there is something that it can be done to.
_MAY_NEED_NATS = {
    *_NEED_NATS,
    "/api/v1/requests/{request_id}/break-glass",
    "/api/v1/asks/{ask_id}/withdraw",
    "/api/v1/grants/{grant_id}/revoke",
    "/api/v1/quarantines",
    "/api/v1/quarantines/{quarantine_id}/lift",
}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """A centre of our own, whose NATS is taken away."""
    with centre(tmp_path_factory.mktemp("without-nats")) as running:
        yield populate(running)


@pytest.fixture(scope="module")
def hold(people: People) -> HoldId:
    """A request that waits since before NATS went away."""

    async def opening() -> HoldId:
        async with (
            people.host() as host,
            people.client(people.viewer) as client,
            follow(client) as stream,
        ):
            await stream.ready()
            made = await host.open()
            await stream.until(made.hold)
        return made.hold

    made = asyncio.run(opening())
    people.centre.stop_nats()
    assert people.centre.collector is not None
    people.centre.collector.wait_for(f"connection to {people.centre.nats_url} lost")
    return made


@pytest.mark.parametrize("who", ["reviewer", "viewer"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_without_nats_every_operation_works_or_names_what_is_away(
    people: People, hold: HoldId, who: str, mode: GenerationMode
) -> None:
    """Only 503 as documented, in the envelope that names NATS and the remedy; no other 5xx."""
    description: Any = schemathesis.openapi.from_url(f"{people.centre.api_url}/api/v1/openapi.json")
    token = people.reviewer if who == "reviewer" else people.viewer
    operations = [found.ok() for found in description.get_all_operations()]
    for operation in operations:
        takes_nothing = operation.path in TAKE_NOTHING and mode is GenerationMode.NEGATIVE
        if takes_nothing or operation.path == ENDLESS:
            continue

        @settings(max_examples=examples(operation.path))
        @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
        def check(case: Any, known: bool) -> None:
            if known and "request_id" in (case.path_parameters or {}):
                case.path_parameters["request_id"] = hold
            case.headers = {**(case.headers or {}), **Centre.auth(token)}
            answer = case.call(timeout=WAIT_S)
            case.validate_response(answer, excluded_checks=[*LOOSE, not_a_server_error])
            if answer.status_code >= 500:
                assert case.operation.path in _MAY_NEED_NATS
                _check_says_that_nats_is_away(answer.status_code, answer.json())

        check()
    assert len(operations) == 35


@pytest.mark.parametrize("path", _NEED_NATS)
def test_what_needs_nats_is_refused_and_nothing_is_decided(
    people: People, hold: HoldId, path: str
) -> None:
    """The refusal is the documented one, and the request waits on as it was."""
    with httpx.Client(base_url=people.centre.api_url, headers=Centre.auth(people.reviewer)) as api:
        answer = api.post(path.format(request_id=hold), json=_NEED_NATS[path], timeout=WAIT_S)
        _check_says_that_nats_is_away(answer.status_code, answer.json())
        shown = api.get(f"/api/v1/requests/{hold}").json()
        assert (shown["state"], shown["decision"], shown["comments"]) == ("open", None, [])
        assert api.get("/healthz").json() == {"status": "degraded", "nats": False, "trail": True}


def _check_says_that_nats_is_away(status: int, body: Any) -> None:
    error = body["error"]
    assert (status, error["code"]) == (503, "nats_unavailable"), body
    assert "NATS is not connected" in error["message"]
    assert "NATS server" in error["remedy"]
