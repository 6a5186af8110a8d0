"""Secrets in held and observed commands, paths, claims and reasons: they are nowhere but here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.house import House, house, place_for_all

pytestmark = pytest.mark.end_to_end

TOKEN = "ghp" + "_" + "aB3dE6gH9jK2mN5pQ8sT1vX4zA7cF0iL3oR6"
PLANTED = {
    "held": "held-4f9c1d77",
    "observed": "observed-81ba20ce",
    "claim": "claim-c02d5be1",
    "reason": "reason-6e7715aa",
    "remark": "remark-0b39ff42",
    "token": TOKEN,
}
SESSION = """
import json, os, socket, subprocess
place, planted = {place!r}, json.load(open({place!r} + "/planted.json"))
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(place + "/holdfast-why/agent.sock")
    said = {{"do": "why", "text": "it needs password=" + planted["claim"], "session": "s-1"}}
    peer.sendall(json.dumps(said).encode() + b"\\n")
    peer.recv(4096)
subprocess.run([place + "/seen", "--token=" + planted["observed"], planted["token"]])
subprocess.run(["/bin/cat", place + "/" + planted["token"]])
done = subprocess.run([place + "/export", "--password", planted["held"], planted["token"]],
                      stdout=subprocess.PIPE)
print(done.stdout.decode(), flush=True)
"""


def rules(place: Path) -> str:
    """Return rules that ask about one program, and observe another and a file."""
    return f"""
rules:
  - id: demo.export
    description: Writes an export.
    severity: high
    match: {{exec: {{path: {place}/export}}}}
    action: ask
  - id: demo.seen
    description: Is seen.
    severity: info
    match: {{exec: {{path: {place}/seen}}}}
    action: observe
  - id: demo.file
    description: A file is read.
    severity: info
    match: {{open: {{path: {place}/{TOKEN}}}}}
    action: observe
"""


@pytest.fixture(scope="module")
def home() -> Iterator[House]:
    """One Holdfast, and programs that the watched user can run."""
    with place_for_all() as place:
        for name in ("export", "seen"):
            (place / name).write_text('#!/bin/sh\necho "ran with $2"\n')
            (place / name).chmod(0o755)
        (place / TOKEN).write_text("x")
        (place / "planted.json").write_text(json.dumps(PLANTED))
        with house(place, rules(place)) as built:
            yield built


def _found(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [name for name, secret in PLANTED.items() if secret.encode() in data]


def _files(home: House) -> Iterator[Path]:
    own = {"planted.json", "export", "seen", TOKEN, "rules.yaml"}
    for path in home.directory.rglob("*"):
        if path.is_file() and path.name not in own and home.directory / "bpffs" not in path.parents:
            yield path


def test_a_secret_is_nowhere_but_in_the_process(home: House) -> None:
    """Not in NATS, the trail, a card, the API, the journal, the spool or a log; and it runs."""
    child = home.start(SESSION.format(place=str(home.directory)))
    request: dict[str, Any] = home.watcher.wait(
        lambda one: one["state"] == "open" and one["rule"]["id"] == "demo.export"
    )
    assert _found(json.dumps(request)) == []
    facts = {fact["label"]: fact["text"] for fact in request["card"]["facts"]}
    assert "--password '«redacted:password:" in facts["Command"]
    assert "«redacted:github-token:" in facts["Command"]
    assert facts["Redacted"].endswith("that may be secret, taken out by the host")
    # A mark of a host has its digest.
    claim = facts["Says why (claim of the AI, not checked)"]
    assert claim.startswith("it needs password=«redacted:password:")

    said = {"text": f"is token={PLANTED['remark']} still good?"}
    done = home.call("POST", f"/requests/{request['request']}/comments", body=said)
    assert done.status_code in (200, 201), done.text
    home.answer(request, "approve", f"known; password={PLANTED['reason']}")
    out, _ = child.communicate(timeout=60)
    assert f"ran with {PLANTED['held']}" in out.decode()

    rows = home.sql_until(
        "SELECT kind, rule, argv, path, flags FROM events WHERE rule IN ('demo.seen', 'demo.file')",
        lambda found: {row[1] for row in found} == {"demo.seen", "demo.file"},
    )
    assert all("redacted" in row[4].split(",") for row in rows)
    assert "--token=«redacted:token:" in str(rows)
    for table in ("events", "holds", "hold_states", "votes", "comments", "decisions"):
        assert _found(str(home.sql(f"SELECT * FROM {table}"))) == [], table  # noqa: S608
    assert "password=«redacted:password»" in str(home.sql("SELECT reason FROM votes"))
    home.stop_agent()
    leaks = {str(path): found for path in _files(home) if (found := _found(path.read_bytes()))}
    assert leaks == {}
    # They can be searched: what stands in place of the secrets is found.
    marked = [str(path) for path in _files(home) if b"redacted:github-token:" in path.read_bytes()]
    for part in ("/nats/", "journal.db", "trail"):
        assert any(part in path for path in marked), (part, marked)
