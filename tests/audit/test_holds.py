"""What a watched user does is reported by a real auditd, and who did it is stopped."""

import pytest

from tests.audit.site import Site
from wire.acts import Guarantee, Kind

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: test.secret
    description: Reads a secret.
    severity: high
    match: { open: { path: "{place}/secret/**" } }
    action: ask
  - id: test.tool
    description: Runs sleep.
    severity: high
    match: { exec: { path: "**/sleep" } }
    action: ask
"""
READ = """
with open("secret/key") as file:
    say("read")
    sys.stdin.readline()
say("on")
"""


def test_who_reads_a_secret_is_stopped_and_runs_on_when_let_go(site: Site) -> None:
    """By path, flags, inode and result; late, since it has been opened."""
    secret = site.place / "secret"
    secret.mkdir()
    (secret / "key").write_text("s")
    site.start(RULES)
    reader = site.run(READ)
    held = site.next_hold(lambda act: act.kind is Kind.OPEN)
    act = held.act
    assert act.process.pid == reader.pid
    assert act.guarantee is Guarantee.LATE
    assert (act.path, act.path_resolved, act.path_cut) == (str(secret / "key"), True, False)
    assert act.inode == (secret / "key").stat().st_ino
    assert act.flags == ("read",)
    assert (act.result or 0) > 2
    assert act.process.argv[0] == "/usr/bin/python3"
    reader.wait_stopped()
    reader.tell()
    site.let_go(held)
    assert reader.rest().split() == ["read", "on"]
