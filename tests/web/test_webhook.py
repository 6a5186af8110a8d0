"""Webhooks, verified by the specification's own library as a receiver would use it."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from collector.channels.http import Http
from collector.channels.webhook import Webhook
from tests.support.node import node, packages, script
from tests.support.receiver import Received, receiver
from tests.unit.collector.channels.samples import make_notice
from tests.unit.collector.samples import make_act, make_opened

SECRETS = tuple(f"whsec_{base64.b64encode(letter * 32).decode()}" for letter in (b"a", b"b"))
OTHER = f"whsec_{base64.b64encode(b'c' * 32).decode()}"


@pytest.fixture
async def came(tmp_path: Path) -> Received:
    """One webhook, signed with two secrets, as it came in."""
    async with receiver() as far:
        for kind, text in (("url", far.url), ("secret", "\n".join(SECRETS))):
            path = tmp_path / f"siem.{kind}"
            path.touch(0o600)
            path.write_text(text, encoding="utf-8")
        http = Http(timeout_s=10)
        notice = make_notice(make_opened(make_act(argv=("echo", "漢 é \u202e"))), to="siem")
        await Webhook(tmp_path, http).post(notice)
        await http.close()
        return await far.next()


def _verdict(secret: str, headers: dict[str, str], body: bytes, place: Path) -> str:
    """Return what the library says."""
    # Its packages are found from where a script is.
    here = place / "verify.mjs"
    here.write_bytes(script("verify.mjs").read_bytes())
    (place / "node_modules").unlink(missing_ok=True)
    (place / "node_modules").symlink_to(packages() / "node_modules")
    done = subprocess.run(
        [node(), str(here)],
        input=json.dumps({"secret": secret, "headers": headers, "body": body.decode()}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_library_verifies_what_comes_and_nothing_else(came: Received, tmp_path: Path) -> None:
    """With either secret, and not with another one, another body, another id or another time."""
    headers = came.headers
    for secret in SECRETS:
        assert _verdict(secret, headers, came.body, tmp_path) == "genuine"
    later = str(int(headers["webhook-timestamp"]) + 1)
    for wrong in (
        _verdict(OTHER, headers, came.body, tmp_path),
        _verdict(SECRETS[0], headers, came.body.replace(b"open", b"shut", 1), tmp_path),
        _verdict(SECRETS[0], headers | {"webhook-id": "msg_0"}, came.body, tmp_path),
        _verdict(SECRETS[0], headers | {"webhook-timestamp": later}, came.body, tmp_path),
    ):
        assert wrong == "No matching signature found"
