"""An upgrade of the agent with something held: it stays held, and goes on as before."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.modes import HostMode
from tests.support.centre import REPOSITORY
from tests.support.house import House, house, is_still, place_for_all
from tests.support.inside import compiled_programs
from tests.support.other_version import compiled_other_version, write_other_version
from tests.support.sensors import MODE

pytestmark = pytest.mark.end_to_end

RULES = """
rules:
  - id: secret
    description: Reads the secret of this test.
    severity: critical
    match: { open: { path: "{place}/secret" } }
    action: ask
"""


@pytest.fixture
def home() -> Iterator[House]:
    """A Holdfast that asks about one file."""
    with place_for_all() as place:
        (place / "secret").write_text("swordfish")
        with house(place, RULES.replace("{place}", str(place))) as built:
            yield built


def another_version(home: House, changed: str) -> Path:
    """Return a tree in which a source of the kernel side is another one, and have it configured."""
    tree = home.directory / "other"
    for package in ("agent", "rules", "wire"):
        shutil.copytree(REPOSITORY / package, tree / package)
    shutil.rmtree(tree / "agent" / "kernel")
    write_other_version(tree / "agent" / "kernel", changed)
    own = compiled_programs(home.directory / "cache")
    text = home.config.read_text(encoding="utf-8")
    assert f'cache = "{own}"' in text
    text = text.replace(f'cache = "{own}"', f'cache = "{compiled_other_version(own, changed)}"')
    home.config.write_text(text, encoding="utf-8")
    return tree


@pytest.mark.parametrize("changed", ["stop.c", "records.h"])
def test_what_is_held_goes_on_under_the_new_version(home: House, changed: str) -> None:
    """One answer comes while no agent runs, one afterwards; a new act is held by the new programs.

    With another layout of records the holds go on from the journal. In gate mode the call is still
    to come, and which one was approved is in the old records: it is asked about once more.
    """
    asked_again = MODE is HostMode.GATE and changed == "records.h"
    code = "print(open('secret').read())"
    first, second = home.start(code), home.start(code)
    requests = [home.request_of(child) for child in (first, second)]
    home.stop_agent()
    answer = {"answer": "approve", "reason": "known work"}
    path = f"/requests/{requests[0]['request']}/decision"
    assert home.call("POST", path, body=answer).status_code == 200
    assert is_still(first.pid)
    home.start_agent(tree=another_version(home, changed))
    assert home.settled(requests[0])["outcome"] == "released"
    if asked_again:
        answered = home.answer(home.request_of(first), "approve", "known work")
        assert answered["request"] != requests[0]["request"]
        assert answered["outcome"] == "released"
    assert first.communicate(timeout=60)[0] == b"swordfish\n"
    assert is_still(second.pid)
    assert home.answer(requests[1], "deny", "no")["outcome"] == "killed"
    third = home.start(code)
    assert home.answer(home.request_of(third), "approve", "known work")["outcome"] == "released"
    assert third.communicate(timeout=60)[0] == b"swordfish\n"
    every = home.call("GET", "/requests?state=all").json()["requests"]
    assert len(every) == len(requests) + 1 + asked_again
