"""The watched user, on the same host, finds no way to NATS, the API, a secret, a map or the agent.

And who has stolen the centre's NATS credentials still cannot let anything go: the host obeys only
what the centre has signed, for this hold, in time and once.
"""

import asyncio
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from tests.support.house import PINS, House, house, is_still, place_for_all, wait_still
from wire import subjects
from wire.codec import encode
from wire.ids import HoldId, HostId, RequestId, VerdictId, new_id
from wire.messages import Answer, Ground, Verdict
from wire.signing import Signer

pytestmark = pytest.mark.end_to_end


def rules(place: Path) -> str:
    """Return one rule that asks about one program."""
    return f"""
rules:
  - id: demo.export
    description: Writes an export.
    severity: high
    match: {{exec: {{path: {place}/export}}}}
    action: ask
"""


@pytest.fixture(scope="module")
def home() -> Iterator[House]:
    """One Holdfast for all tests of this file."""
    with place_for_all() as place:
        program = place / "export"
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        with house(place, rules(place)) as built:
            yield built


# Runs as the watched user. Each attempt is a name and what happened; "reached" is a way in.
ATTACK = r"""
import ctypes, json, os, signal, socket, struct, sys, urllib.error, urllib.request
aim = json.load(sys.stdin)
found = {}

def attempt(name, call):
    try:
        call()
    except (OSError, urllib.error.URLError, ValueError) as error:
        found[name] = f"refused: {error}"
    else:
        found[name] = "reached"

def nats(*lines):
    peer = socket.create_connection(("127.0.0.1", aim["nats_port"]), timeout=10)
    peer.recv(4096)
    for line in lines:
        peer.sendall(line.encode() + b"\r\n")
    said = b""
    while b"PONG" not in said:
        piece = peer.recv(4096)
        if not piece or b"-ERR" in piece:
            raise ValueError(piece.decode(errors="replace").strip() or "closed")
        said += piece

options = '{"verbose":false,"pedantic":false,"protocol":1,"lang":"x","version":"1"%s}'
attempt("nats without credentials", lambda: nats("CONNECT " + options % "", "PING"))
attempt("nats with a guessed password", lambda: nats(
    "CONNECT " + options % ',"user":"collector","pass":"collector"', "PING"))
attempt("nats with no nkey signature", lambda: nats(
    "CONNECT " + options % ',"nkey":"%s","sig":""' % aim["nkey"], "PING"))

def api(path, header=None, body=None):
    request = urllib.request.Request(aim["api"] + path, data=body, headers=header or {})
    urllib.request.urlopen(request, timeout=10).read()

attempt("api: list", lambda: api("/api/v1/requests?state=all"))
attempt("api: stream", lambda: api("/api/v1/requests/stream"))
attempt("api: trail", lambda: api("/api/v1/trail/query", {"Content-Type": "application/json"},
                                 b'{"sql":"select 1","limit":1}'))
attempt("api: decide", lambda: api("/api/v1/requests/" + aim["request"] + "/decision",
    {"Content-Type": "application/json"}, b'{"answer":"approve","reason":"mine"}'))
attempt("api: a guessed token", lambda: api("/api/v1/whoami", {"Authorization": "Bearer hf_0_0"}))

for path in aim["files"]:
    attempt("read " + path, lambda: open(path, "rb").read(1))
    attempt("write " + path, lambda: open(path, "ab").close())
for path in aim["directories"]:
    attempt("list " + path, lambda: os.listdir(path))

def agent_socket():
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(aim["socket"])
    peer.sendall(b'{"command":"release_all","reason":"mine"}\n')
    if b"error" in (said := peer.recv(4096)) or not said:
        raise ValueError(said.decode() or "closed")
attempt("the agent's socket", agent_socket)

libc = ctypes.CDLL(None, use_errno=True)
def bpf_get():
    path = ctypes.create_string_buffer(aim["map"].encode())
    attribute = ctypes.create_string_buffer(struct.pack("<QII", ctypes.addressof(path), 0, 0), 128)
    if libc.syscall(321, 7, attribute, 128) < 0:
        raise OSError(ctypes.get_errno(), "bpf")
attempt("a pinned map", bpf_get)
def bpf_ids():
    attribute = ctypes.create_string_buffer(struct.pack("<III", 1, 0, 0), 128)
    if libc.syscall(321, 14, attribute, 128) < 0:
        raise OSError(ctypes.get_errno(), "bpf")
attempt("a map by its number", bpf_ids)

for name, pid in aim["pids"].items():
    # Signal 0 asks only whether a signal could be sent.
    attempt("signal to the " + name, lambda: os.kill(pid, 0))
    attempt("memory of the " + name, lambda: open(f"/proc/{pid}/mem", "rb").read(1))
    attempt("environment of the " + name, lambda: open(f"/proc/{pid}/environ", "rb").read(1))
    attempt("descriptors of the " + name, lambda: os.listdir(f"/proc/{pid}/fd"))
    def attach():
        if libc.ptrace(0x4206, pid, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")
    attempt("tracing the " + name, attach)
print(json.dumps(found))
"""


def test_the_watched_user_finds_no_way_in(home: House) -> None:
    """Every attempt on every part is refused, and the one hold is still open afterwards."""
    held = home.start([str(home.directory / "export")])
    request = home.request_of(held)
    assert home.agent is not None
    assert home.centre.nats is not None
    assert home.centre.collector is not None
    secret = [
        path
        for top in (home.centre.directory, home.directory / "agent", home.bundle)
        for path in ([top] if top.is_file() else top.rglob("*"))
        if path.is_file() and path.suffix != ".log"
    ]
    names = {path.name for path in secret}
    assert {"identities.db", "nats.conf", home.bundle.name, "journal.db"} <= names
    aim = {
        "nats_port": home.centre.nats_port,
        "nkey": "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
        "api": home.centre.api_url,
        "request": request["request"],
        "files": sorted(str(path) for path in secret),
        "directories": [str(PINS), str(home.centre.state), str(home.directory / "agent")],
        "socket": str(home.directory / "run" / "agent.sock"),
        "map": str(PINS / "maps" / "hf_holds"),
        "pids": {
            "agent": home.agent.process.pid,
            "collector": home.centre.collector.process.pid,
            "nats-server": home.centre.nats.process.pid,
        },
    }
    attacker = home.start(ATTACK)
    printed, _ = attacker.communicate(json.dumps(aim).encode(), timeout=120)
    assert attacker.returncode == 0, printed.decode()
    found: dict[str, str] = json.loads(printed)
    assert len(found) > 40
    assert {name: said for name, said in found.items() if said == "reached"} == {}
    assert is_still(held.pid)
    home.answer(request, "deny", "end of the test")


async def test_the_centres_nats_password_alone_releases_nothing(home: House) -> None:
    """Verdicts that are unsigned, signed by another, for another act, or expired change nothing."""
    child = home.start([str(home.directory / "export")])
    request = home.request_of(child)
    wait_still(child)
    trusted = _trusted(home)
    thief = Signer.generate()
    assert thief.key_id not in trusted
    # A request carries the id of its first hold.
    host, hold = HostId(request["host"]), HoldId(request["request"])
    genuine = Signer.from_seed(_signing_seed(home), place="the test's centre")
    assert genuine.key_id in trusted

    def verdict(**other: object) -> Verdict:
        facts: dict[str, object] = {
            "verdict": VerdictId(new_id()),
            "host": host,
            "hold": hold,
            "request": RequestId(request["request"]),
            "digest": request["digest"],
            "answer": Answer.APPROVE,
            "ground": Ground.DECISION,
            "by": "mallory",
            "via": "api",
            "reason": "",
            "boot_id": _boot_id(),
            "expires_boot_ns": 0,
            "time_ns": 1,
        }
        return Verdict(**{**facts, **other})  # type: ignore[arg-type]

    attempts: list[tuple[str, Verdict, Signer | None]] = [
        ("not signed", verdict(), None),
        ("not trusted", verdict(), thief),
        ("another host", verdict(host=HostId(new_id())), genuine),
        ("another act", verdict(digest="0" * 64), genuine),
        ("another boot", verdict(boot_id=new_id()), genuine),
        ("expired", verdict(expires_boot_ns=1), genuine),
        ("no such hold", verdict(hold=HoldId(new_id())), genuine),
    ]
    await _publish(home, host, attempts)
    # One that is over is told as a word on its hold: it was good once.
    refusals = await _refusals(home, len(attempts) - 1)
    assert is_still(child.pid)
    assert len(refusals) == len(attempts) - 1, refusals
    late = home.sql("select detail from hold_states where detail like 'too late: mallory%'")
    assert len(late) == 1
    home.answer(request, "approve", "the real one")
    assert child.wait(30) == 0


def _trusted(home: House) -> list[str]:
    keys: list[str] = tomllib.loads(home.bundle.read_text())["centre_keys"]
    return keys


def _signing_seed(home: House) -> str:
    """Return the centre's signing seed: the strongest thief, but for what it signs wrongly."""
    (path,) = home.centre.state.rglob("signing.key")
    return path.read_text().strip()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


async def _publish(
    home: House, host: HostId, attempts: list[tuple[str, Verdict, Signer | None]]
) -> None:
    """Publish as the collector may, each under a subject of its own that the host reads."""
    (seed,) = [one for one in home.centre.state.rglob("*") if one.name == "collector.nk"]
    client = await nats.connect(
        home.centre.nats_url,
        nkeys_seed=str(seed),
        inbox_prefix=subjects.inbox("collector").encode(),
    )
    try:
        stream = client.jetstream()
        for _, one, signer in attempts:
            data = encode(one)
            headers = signer.headers(data) if signer else None
            await stream.publish(subjects.verdict(host, HoldId(new_id())), data, headers=headers)
    finally:
        await client.close()


async def _refusals(home: House, count: int) -> list[object]:
    """Return the notices of refused verdicts, once there are `count`, from the trail."""
    rows: list[list[object]] = []
    for _ in range(300):
        rows = home.sql("select detail from events where detail like 'verdict_refused:%'")
        if len(rows) >= count:
            break
        await asyncio.sleep(0.1)
    return [row[0] for row in rows]
