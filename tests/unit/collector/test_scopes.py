"""What each route of the API asks of a machine, and that docs/api.md says the same."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from collector.api import asks, auth, channels, requests, services, trail
from collector.errors import Refusal
from collector.identity.machines import Scope
from collector.identity.people import Caller
from collector.identity.roles import Role

DOCS = Path(__file__).resolve().parents[3] / "docs" / "api.md"
ROW = re.compile(r"^\| `([A-Z]+ /[^`]*)` \| ([^|]+) \|", re.MULTILINE)
ROUTES = [
    route
    for part in (requests, asks, trail, auth, channels)
    for route in part.router.routes
    if isinstance(route, APIRoute)
]


def _calls(dependant: Dependant) -> Iterator[object]:
    for one in dependant.dependencies:
        yield one.call
        yield from _calls(one)


def _asks(route: APIRoute) -> str:
    """Return what the route asks of a machine, in the words of the table."""
    calls = list(_calls(route.dependant))
    for call in calls:
        if isinstance(call, services.ScopedCaller):
            return f"`{call.scope.value}`"
    if services.person in calls:
        return "never"
    return "any token" if services.any_caller in calls else "no token"


def test_the_table_names_what_each_route_asks_of_a_machine() -> None:
    """Nobody has to try a token to know."""
    table = dict(ROW.findall(DOCS.read_text(encoding="utf-8")))
    found = {
        f"{method} {route.path}": _asks(route) for route in ROUTES for method in route.methods or ()
    }
    assert len(found) > 12
    assert {name: table.get(name) for name in found} == found


def test_no_scope_lets_a_machine_change_an_answer() -> None:
    """Whatever decides or comments is a person's, by the route already."""
    answers = [route for route in ROUTES if "decision" in route.path or "comment" in route.path]
    assert len(answers) == 2
    assert [_asks(route) for route in answers] == ["never", "never"]


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_machine_gets_what_its_scope_says_and_people_what_their_role_says(
    scope: Scope,
) -> None:
    """The refusal names the scope that is missing."""
    check = services.ScopedCaller(scope)
    machine = Caller("ci", Role.VIEWER, (), "t", machine=True, scopes=(scope.value,))
    assert await check(machine) is machine
    person = Caller("ann", Role.VIEWER, (), "t")
    assert await check(person) is person
    other = [one.value for one in Scope if one is not scope]
    with pytest.raises(Refusal) as refused:
        await check(Caller("ci", Role.ADMIN, (), "t", machine=True, scopes=tuple(other)))
    assert (refused.value.code, refused.value.extra["scope"]) == ("scope_missing", scope.value)
    with pytest.raises(Refusal) as refused:
        await services.person(machine)
    assert refused.value.code == "machine_caller"
