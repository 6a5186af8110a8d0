"""Breaking the glass, from the API to a process on a real host: in time, and too late.

The host is late because its agent is stopped meanwhile, as on a machine that sleeps; what is held
stays held all the while.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.house import House, Request, house, is_still, place_for_all, wait_still

pytestmark = pytest.mark.end_to_end

GLASS_S = 8
TIMEOUT_S = 30
KEYS = f'\n[approvals]\npolicy_file = "policy.yaml"\nbreak_glass_s = {GLASS_S}\n'
POLICY = """
policies:
  - id: production
    approve: [{group: dba}, {group: security}]
    break_glass: [duty]
"""


def rules(place: Path) -> str:
    """Return a rule for each end that a wait may have."""
    return "rules:" + "".join(
        f"""
  - id: demo.{end}
    description: Reads what several people have to release.
    severity: critical
    match: {{open: {{path: {place}/{end}}}}}
    action: ask
    on_timeout: {end}
    timeout: {TIMEOUT_S}s
"""
        for end in ("kill", "keep", "release")
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Have a centre whose policy asks two people, and a host with a watched user."""
    directory = tmp_path_factory.mktemp("glass")
    with place_for_all() as place:
        for end in ("kill", "keep", "release"):
            (place / end).write_text("data\n")
        with house(directory, rules(place), centre_keys=KEYS, policy=POLICY) as built:
            built.place = place  # type: ignore[attr-defined]
            yield built


@pytest.fixture(scope="module")
def duty(home: House) -> str:
    """The token of somebody who may break the glass."""
    return home.centre.token("dot@example.com", "reviewer", groups=("duty",))


def reads(home: House, end: str) -> tuple[subprocess.Popen[bytes], Request]:
    """Have a process of the watched user read, and return it held, with its request."""
    path = home.place / end  # type: ignore[attr-defined]
    child = home.start(f"print(open({str(path)!r}).read())")
    request = home.request_of(child, f"demo.{end}")
    wait_still(child)
    return child, request


def breaks_glass(home: House, request: Request, token: str) -> None:
    """Break it; the centre takes that whether or not the host can hear it."""
    answer = home.call(
        "POST",
        f"/requests/{request['request']}/break-glass",
        token=token,
        body={"reason": "production down", "digest": request["digest"]},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["decision"]["by"] == "dot@example.com"


@contextmanager
def deaf(home: House) -> Iterator[None]:
    """Have the host hear nothing meanwhile."""
    assert home.agent is not None
    home.agent.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        home.agent.process.send_signal(signal.SIGCONT)


def too_late(home: House, request: Request, token: str) -> None:
    """Break the glass of a held act where the host hears it when its life is over."""
    with deaf(home):
        breaks_glass(home, request, token)
        threading.Event().wait(GLASS_S + 1)
    home.watcher.wait(
        lambda one: (
            one["request"] == request["request"]
            and any(said["detail"].startswith("too late") for said in one["states"])
        )
    )


def in_the_view(home: House, request: Request) -> list[str]:
    """Return who broke the glass, why, and what the view says that the host did."""
    (row,) = home.sql(
        "SELECT who, reason, rule, policy, host_confirmed FROM break_glass"  # noqa: S608
        f" WHERE request = '{request['request']}'"
    )
    assert row[:2] == ["dot@example.com", "production down"]
    assert row[2:4] == [request["rule"]["id"], "production"]
    return [str(row[4])]


def test_the_host_obeys_within_its_life(home: House, duty: str) -> None:
    """One of those on duty is enough, for this act alone; anybody else is refused."""
    child, request = reads(home, "keep")
    refused = home.call(
        "POST", f"/requests/{request['request']}/break-glass", body={"reason": "production down"}
    )
    assert refused.json()["error"]["code"] == "not_break_glass"
    assert is_still(child.pid)
    breaks_glass(home, request, duty)
    assert child.communicate(timeout=30)[0] == b"data\n\n"
    done = home.settled(request)
    assert (done["outcome"], done["ground"]) == ("released", "break_glass")
    assert in_the_view(home, request) == ["released"]
    explained = f"SELECT explained FROM releases WHERE request = '{request['request']}'"  # noqa: S608
    assert home.sql(explained) == [[True]]
    again, asked = reads(home, "keep")
    assert asked["request"] != request["request"], "it was for that one act"
    again.kill()
    home.settled(asked)


def test_one_that_is_over_releases_nothing_and_the_act_is_asked_anew(
    home: House, duty: str
) -> None:
    """Where the rule keeps it held it stays so; whoever asks anew is let go by another glass."""
    child, request = reads(home, "keep")
    too_late(home, request, duty)
    assert is_still(child.pid) and in_the_view(home, request) == ["too late, refused"]
    other, asked = reads(home, "keep")
    breaks_glass(home, asked, duty)
    assert other.communicate(timeout=30)[0] == b"data\n\n"
    home.settled(asked)
    assert in_the_view(home, asked) == ["released"]
    assert is_still(child.pid), "the first is as it was"
    child.kill()
    assert child.communicate(timeout=30)[0] == b""
    home.settled(request)
    assert in_the_view(home, request) == ["too late, refused; then the process ended"]


@pytest.mark.parametrize(
    ("end", "outcome", "read"), [("kill", "killed", b""), ("release", "released", b"data\n\n")]
)
def test_one_that_is_over_leaves_the_end_to_the_rule(
    home: House, duty: str, end: str, outcome: str, read: bytes
) -> None:
    """It ends at its deadline, on that ground: the trail does not call it a use of the glass."""
    began = time.monotonic()
    child, request = reads(home, end)
    too_late(home, request, duty)
    assert is_still(child.pid) and time.monotonic() - began < TIMEOUT_S
    assert child.communicate(timeout=TIMEOUT_S + 30)[0] == read
    done = home.settled(request)
    assert (done["outcome"], done["ground"], done["state"]) == (
        outcome,
        "timeout_policy",
        "expired",
    )
    assert in_the_view(home, request) == [f"too late, refused; then {outcome} (timeout_policy)"]
    allowed = f"SELECT who FROM who_allowed WHERE request = '{request['request']}'"  # noqa: S608
    who = [["nobody (timeout_policy)"]] if end == "release" else []
    assert home.sql(allowed) == who
