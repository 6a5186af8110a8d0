"""Asks through the real centre: policy, denial, silence, one's own, restarts, keys and scopes."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import holdfast_ask
from tests.end_to_end.collector.conftest import WAIT_S, follow
from tests.support.centre import REPOSITORY, Centre, centre

pytestmark = pytest.mark.nats

POLICY = """\
policies:
  - id: deploys
    when: {rules: [ask.deploy]}
    approve: [{group: release, votes: 2}]
  - id: rest
"""
PLAIN = {"action": "rotate-key", "resource": "vault/payments", "why": "it is a year old"}


@dataclass
class Site:
    """A running centre under the policy, and tokens by name."""

    centre: Centre
    tokens: dict[str, str]

    def client(self, who: str) -> httpx.AsyncClient:
        """Return a client of the API for one caller."""
        return httpx.AsyncClient(
            base_url=f"{self.centre.api_url}/api/v1",
            headers=Centre.auth(self.tokens[who]),
            timeout=WAIT_S,
        )

    async def open(self, who: str = "ci", **given: Any) -> dict[str, Any]:
        """Ask, and return the ask as it was opened."""
        async with self.client(who) as client:
            answer = await client.post("/asks", json={**PLAIN, **given})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def get(self, ask: dict[str, Any], who: str = "ci", wait: int = 0) -> dict[str, Any]:
        """Return the ask as it stands; with `wait`, once it has ended."""
        async with self.client(who) as client:
            answer = await client.get(f"/asks/{ask['ask']}", params={"wait": wait})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def say(self, who: str, ask: dict[str, Any], answer: str = "approve") -> httpx.Response:
        """Answer an ask as one of the people."""
        async with self.client(who) as client:
            return await client.post(
                f"/requests/{ask['ask']}/decision", json={"answer": answer, "reason": "checked"}
            )

    async def rows(self, sql: str, ask: dict[str, Any]) -> list[list[Any]]:
        """Return the rows of a SELECT about one ask, for which the ? in it stands."""
        async with self.client("vera") as client:
            answer = await client.post(
                "/trail/query", json={"sql": sql.replace("?", f"'{ask['ask']}'")}
            )
        assert answer.status_code == 200, answer.text
        found: list[list[Any]] = answer.json()["rows"]
        return found

    def machine(self, name: str, *options: str) -> str:
        """Return a new token of a machine."""
        words = ("token", "create", "--machine", name, *options, "--days", "9")
        return self.centre.run(*words, "--config", str(self.centre.config)).strip()

    def command(self, who: str, *words: str) -> Sequence[str]:
        """Return the command line of `holdfast`."""
        return [sys.executable, "-m", "collector.cli", "--url", self.centre.api_url, *words]

    async def start(self, who: str, *words: str) -> asyncio.subprocess.Process:
        """Start `holdfast` as a caller."""
        return await asyncio.create_subprocess_exec(
            *self.command(who, *words),
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"HOLDFAST_TOKEN": self.tokens[who], "PATH": "/usr/bin:/bin", "HOME": "/nowhere"},
        )

    async def asked(self, resource: str) -> dict[str, Any]:
        """Return the request for a resource, once somebody has asked for it."""
        async with self.client("vera") as client, follow(client) as stream:
            while True:
                _, data = await stream.event()
                if data.get("act", {}).get("path") == resource:
                    return {"ask": data["request"], **data}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a centre that this module's tests share."""
    with centre(tmp_path_factory.mktemp("asks"), start=False) as made:
        (made.state / "policy.yaml").write_text(POLICY, encoding="utf-8")
        with made.config.open("a", encoding="utf-8") as file:
            file.write('\n[approvals]\npolicy_file = "policy.yaml"\n[asks]\nopen_per_asker = 30\n')
        made.start_nats()
        made.start_collector()
        running = Site(made, {})
        for name in ("rita", "ralf"):
            running.tokens[name] = made.token(f"{name}@example.com", "reviewer", groups=["release"])
        running.tokens["rob"] = made.token("rob@example.com", "reviewer")
        running.tokens["alice"] = made.token("alice@example.com", "admin", logins=["al"])
        running.tokens["vera"] = made.token("vera@example.com", "viewer")
        asks = ("--scope", "asks:write", "--responsible", "alice@example.com")
        running.tokens["ci"] = running.machine("ci", *asks)
        running.tokens["other"] = running.machine("other", *asks)
        running.tokens["reader"] = running.machine("reader", "--scope", "requests:read")
        yield running


async def test_a_quorum_approves_an_ask_and_the_trail_says_who(site: Site) -> None:
    """Two of the group, as the policy says for this action; the first alone does not do."""
    ask = await site.open(action="deploy", resource="production/web", details={"version": "1.2"})
    assert (ask["state"], ask["missing"]) == ("open", "2 of release")
    assert ask["owner"] == "alice@example.com"
    waiting = asyncio.create_task(site.get(ask, wait=60))
    assert (await site.say("rob", ask)).json()["error"]["code"] == "not_approver"
    assert (await site.say("rita", ask)).json()["state"] == "open"
    shown = (await site.say("ralf", ask)).json()
    assert (shown["state"], shown["outcome"]) == ("approved", None)
    assert "waiting for the host" not in shown["card"]["state_line"]
    done = await waiting
    assert (done["state"], done["by"]) == ("approved", "rita@example.com, ralf@example.com")
    assert await site.rows(
        "SELECT kind, what, who, host_confirmed FROM who_allowed WHERE request = ?", ask
    ) == [
        ["ask", "deploy on production/web", "rita@example.com, ralf@example.com", "no host"],
    ]
    assert await site.rows("SELECT claim, guarantee FROM holds WHERE request = ?", ask) == [
        ["it is a year old", "asked"]
    ]


async def test_a_denial_ends_it_with_its_reason(site: Site) -> None:
    """Whoever asked reads who said no, and why; a later approval changes nothing."""
    ask = await site.open()
    assert (await site.say("rob", ask, "deny")).status_code == 200
    done = await site.get(ask, wait=60)
    assert (done["state"], done["by"], done["reason"]) == ("denied", "rob@example.com", "checked")
    assert (await site.say("rita", ask)).json()["error"]["code"] == "already_decided"


async def test_silence_expires_an_ask_and_is_nobodys_answer(site: Site) -> None:
    """Its own deadline, by the centre's clock; an answer after it is refused."""
    ask = await site.open(timeout_s=1)
    done = await site.get(ask, wait=60)
    assert (done["state"], done["by"]) == ("expired", "")
    assert (await site.say("rob", ask)).status_code == 410
    sql = "SELECT state FROM requests WHERE request = ?"
    for _ in range(200):  # nothing else tells when the trail has the silence
        if (rows := await site.rows(sql, ask)) == [["expired"]]:
            break
        await asyncio.sleep(0.05)
    assert rows == [["expired"]]


async def test_nobody_approves_their_own_ask(site: Site) -> None:
    """Neither who answers for the machine, nor who had it asked, nor a person who asks."""
    ask = await site.open(on_behalf_of=["rob@example.com"])
    for who in ("alice", "rob"):
        assert (await site.say(who, ask)).json()["error"]["code"] == "own_request"
    for who in ("ci", "reader"):
        assert (await site.say(who, ask)).json()["error"]["code"] == "machine_caller"
    own = await site.open("alice")
    assert (await site.say("alice", own)).json()["error"]["code"] == "own_request"
    assert (await site.say("rob", own)).json()["state"] == "approved"


async def test_an_ask_is_its_askers(site: Site) -> None:
    """Others, machines or people, find nothing under its id; reviewers see it as a request."""
    ask = await site.open()
    for who in ("other", "alice", "rob"):
        async with site.client(who) as client:
            for answer in (
                await client.get(f"/asks/{ask['ask']}"),
                await client.post(f"/asks/{ask['ask']}/withdraw"),
            ):
                assert answer.json()["error"]["code"] == "unknown_ask"
    assert (await site.get(ask))["state"] == "open"


async def test_a_machine_without_the_scope_cannot_ask(site: Site) -> None:
    """Nor can one look, and nobody can without a token."""
    async with site.client("reader") as client:
        assert (await client.post("/asks", json=PLAIN)).json()["error"]["code"] == "scope_missing"
        assert (await client.get("/asks/" + "0" * 32)).json()["error"]["code"] == "scope_missing"
    async with httpx.AsyncClient(base_url=f"{site.centre.api_url}/api/v1") as client:
        assert (await client.post("/asks", json=PLAIN)).status_code == 401


async def test_a_key_makes_it_one_ask_and_one_answer(site: Site) -> None:
    """Sent again it is the same; with other words, by another, or once decided, it is not."""
    async with site.client("ci") as client:
        wanted = {**PLAIN, "key": "run-7"}
        many = await asyncio.gather(*(client.post("/asks", json=wanted) for _ in range(8)))
        assert len({one.json()["ask"] for one in many}) == 1, [one.text for one in many]
        assert sorted(one.status_code for one in many) == [200] * 7 + [201]
        ask = many[0].json()
        other = await client.post("/asks", json={**wanted, "resource": "vault/all"})
        assert other.json()["error"]["code"] == "key_reused"
        theirs = await site.open("other", key="run-7")
        assert theirs["ask"] != ask["ask"]
        assert (await site.say("rob", ask)).json()["state"] == "approved"
        again = await client.post("/asks", json=wanted)
        assert again.json()["error"]["code"] == "ask_over"
        assert again.json()["error"]["state"] == "approved"
    assert await site.rows("SELECT count(*) FROM holds WHERE request = ?", ask) == [[1]]


async def test_a_withdrawn_ask_cannot_be_approved_any_more(site: Site) -> None:
    """Nor is an approved one undone by withdrawing it."""
    ask = await site.open()
    async with site.client("ci") as client:
        done = await client.post(f"/asks/{ask['ask']}/withdraw")
    assert done.json()["state"] == "cancelled", done.text
    late = await site.say("rob", ask)
    assert (late.status_code, late.json()["error"]["code"]) == (410, "cancelled")
    approved = await site.open()
    await site.say("rob", approved)
    async with site.client("ci") as client:
        kept = await client.post(f"/asks/{approved['ask']}/withdraw")
    assert kept.json()["state"] == "approved"


async def test_an_ask_outlives_the_collector(site: Site) -> None:
    """Killed while somebody waits; the same key finds it again, and it is decided then."""
    ask = await site.open(key="restart", action="deploy", resource="production/db")
    assert (await site.say("rita", ask)).json()["state"] == "open"
    short = await site.open(timeout_s=1)
    await asyncio.to_thread(site.centre.stop_collector, signal.SIGKILL)
    await asyncio.to_thread(site.centre.start_collector)
    assert (await site.get(short, wait=60))["state"] == "expired"
    async with site.client("ci") as client:
        again = await client.post(
            "/asks",
            json={**PLAIN, "key": "restart", "action": "deploy", "resource": "production/db"},
        )
    assert (again.status_code, again.json()["ask"]) == (200, ask["ask"])
    assert (await site.say("ralf", ask)).json()["state"] == "approved"
    assert (await site.get(ask, wait=60))["state"] == "approved"


async def test_hostile_text_reaches_nobody_as_more_than_letters(site: Site) -> None:
    """Control characters, bidi and secrets in what is asked are shown escaped and redacted."""
    hostile = "\x1b[2J\u202eevil\u200b <!channel> `rm`\n"
    ask = await site.open(
        resource=f"vault/{hostile}", why=f"because {hostile}", details={"API_TOKEN": "hunter2" * 5}
    )
    async with site.client("vera") as client:
        card = (await client.get(f"/requests/{ask['ask']}")).json()["card"]
    text = json.dumps(card, ensure_ascii=False)
    assert not any(sign in text for sign in ("\x1b", "\\u001b", "\u202e", "\u200b", "hunter2"))
    facts = {fact["label"]: fact["text"] for fact in card["facts"]}
    assert facts["Says why (claim of who asks, not checked)"].startswith("because ")
    assert card["happened"] == "Nothing has happened yet, as far as who asks says."


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "Deploy it"},
        {"resource": ""},
        {"why": ""},
        {"severity": "none"},
        {"timeout_s": 0},
        {"timeout_s": 10**9},
        {"details": {"a b": "c"}},
        {"details": {"a": "c" * 9000}},
        {"why": "\ud800"},
        {"owner": "nobody"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_what_cannot_be_asked_is_refused_by_place(
    site: Site, wrong: dict[str, object]
) -> None:
    """Nothing is opened then."""
    async with site.client("ci") as client:
        body = json.dumps({**PLAIN, **wrong}).encode()
        answer = await client.post(
            "/asks", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422, answer.text
    assert next(iter(wrong)) in answer.text


async def test_an_asker_cannot_make_it_matter_less(site: Site) -> None:
    """The centre's least severity stands."""
    assert (await site.open(severity="info"))["severity"] == "medium"
    assert (await site.open(severity="critical"))["severity"] == "critical"


@pytest.mark.parametrize(
    ("answer", "code"), [("approve", 0), ("deny", 3), ("expire", 4), ("withdraw", 5)]
)
async def test_the_command_says_by_its_exit_code_how_it_ended(
    site: Site, answer: str, code: int
) -> None:
    """0 approved, 3 denied, 4 expired, 5 withdrawn."""
    resource = f"vault/{answer}"
    words = ["ask", "--action", "rotate", "--resource", resource, "--why", "old", "--json"]
    words += ["--detail", "run=7", "--timeout", "3s" if answer == "expire" else "5m"]
    process = await site.start("ci", *words)
    ask = await site.asked(resource)
    if answer == "withdraw":
        async with site.client("ci") as client:
            await client.post(f"/asks/{ask['ask']}/withdraw")
    elif answer != "expire":
        await site.say("rob", ask, answer)
    out, errors = await process.communicate()
    assert process.returncode == code, errors.decode()
    assert json.loads(out)["ask"] == ask["ask"]


async def test_a_command_that_is_ended_withdraws_its_ask(site: Site) -> None:
    """As a CI job that is cancelled: nobody is left with a card that nobody waits for."""
    words = ["ask", "--action", "rotate", "--resource", "vault/ended", "--why", "old"]
    process = await site.start("ci", *words)
    assert process.stderr is not None
    assert b"asked as" in await process.stderr.readline()
    assert b"must approve" in await process.stderr.readline()
    ask = await site.asked("vault/ended")
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert process.returncode == 130, errors.decode()
    assert (await site.get(ask))["state"] == "cancelled"


def _wait_for_connection(pid: int) -> None:
    process = psutil.Process(pid)
    while not any(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections()):
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_command_that_is_ended_while_it_sends_withdraws_its_ask(
    site: Site, number: signal.Signals
) -> None:
    """It is not known then whether the ask was stored, so its end waits for that."""
    resource = f"vault/sending-{number.name}"
    assert site.centre.collector is not None
    stopped = site.centre.collector.process
    words = ["ask", "--action", "rotate", "--resource", resource, "--why", "old"]
    stopped.send_signal(signal.SIGSTOP)
    try:
        process = await site.start("ci", *words)
        await asyncio.to_thread(_wait_for_connection, process.pid)
        process.send_signal(number)
    finally:
        stopped.send_signal(signal.SIGCONT)
    _, errors = await process.communicate()
    assert process.returncode == 130, errors.decode()
    async with site.client("vera") as client:
        listed = (await client.get("/requests", params={"state": "all"})).json()["requests"]
    (found,) = [one for one in listed if one["act"]["path"] == resource]
    assert found["state"] == "cancelled"


@pytest.mark.parametrize("token", ["hft_000000000000_" + "0" * 64, "reader"])
async def test_a_command_that_may_not_ask_does_not_say_denied(site: Site, token: str) -> None:
    """3 and 4 are answers of people and of silence; a failure is neither, and no approval."""
    site.tokens["tried"] = site.tokens.get(token, token)
    process = await site.start("tried", "ask", "--action", "a", "--resource", "b", "--why", "c")
    await process.communicate()
    assert process.returncode == 1


async def test_a_decorated_function_runs_only_once_it_is_approved(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arguments name what is asked; a denial is an exception with the reason."""
    monkeypatch.setenv("HOLDFAST_URL", site.centre.api_url)
    monkeypatch.setenv("HOLDFAST_TOKEN", site.tokens["ci"])
    ran = []

    @holdfast_ask.needs_approval("restart", "service/{name}", "asked for", details={"who": "{by}"})
    def restart(name: str, by: str = "cron") -> str:
        ran.append(name)
        return name

    approved = asyncio.create_task(asyncio.to_thread(restart, "web"))
    ask = await site.asked("service/web")
    assert ask["act"]["environment"] == {"who": "cron"}
    assert not ran
    await site.say("rob", ask)
    assert await approved == "web"
    denied = asyncio.create_task(asyncio.to_thread(restart, "db"))
    await site.say("rob", await site.asked("service/db"), "deny")
    with pytest.raises(holdfast_ask.Denied) as refused:
        await denied
    assert (refused.value.by, refused.value.reason) == ("rob@example.com", "checked")
    assert ran == ["web"]
    monkeypatch.setenv("HOLDFAST_TOKEN", site.tokens["reader"])
    with pytest.raises(holdfast_ask.AskFailed, match="asks:write"):
        await asyncio.to_thread(restart, "web")
    monkeypatch.setenv("HOLDFAST_URL", "http://ci.example.com")
    with pytest.raises(holdfast_ask.AskFailed, match="https"):
        restart("web")
    assert ran == ["web"]


async def test_one_asker_cannot_flood_the_reviewers(site: Site) -> None:
    """Past the centre's count further asks are refused until some have ended."""
    site.tokens["flood"] = site.machine(
        "flood", "--scope", "asks:write", "--responsible", "alice@example.com"
    )
    opened = [await site.open("flood") for _ in range(30)]
    async with site.client("flood") as client:
        answer = await client.post("/asks", json=PLAIN)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_asks")
        await client.post(f"/asks/{opened[0]['ask']}/withdraw")
    await site.open("flood")


def test_the_copied_file_needs_nothing_but_python(tmp_path: Path) -> None:
    """A CI job carries the one file: it is imported alone, without the packages of this project."""
    copied = tmp_path / "holdfast_ask.py"
    copied.write_bytes((REPOSITORY / "holdfast_ask" / "__init__.py").read_bytes())
    code = "\n".join(
        (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})",
            "import holdfast_ask",
            "try: holdfast_ask.approval('a', 'b', 'c')",
            "except holdfast_ask.AskFailed as error: print(error)",
        )
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert "HOLDFAST_URL" in done.stdout
