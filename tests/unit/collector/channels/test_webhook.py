"""Signed webhooks: proved as the specification says, and safe to show."""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.channels.http import Http
from collector.channels.interface import Posted
from collector.channels.webhook import Webhook, key_of, payload, signed
from collector.errors import ChannelError
from tests.support.receiver import Receiver, receiver
from tests.unit.collector.channels.samples import make_notice
from tests.unit.collector.samples import make_act, make_decision, make_opened
from wire.messages import Ground

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - published in the specification
HOSTILE = "\u202eevil\x1b[2J\n<script>"


@pytest.fixture
async def far() -> AsyncIterator[Receiver]:
    """The far side."""
    async with receiver() as made:
        yield made


@pytest.fixture
async def webhook(tmp_path: Path) -> AsyncIterator[Webhook]:
    """The channel, whose files are in tmp_path."""
    http = Http(timeout_s=10)
    yield Webhook(tmp_path, http)
    await http.close()


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    path.touch()
    path.chmod(mode)
    path.write_text(text)


def test_the_signature_is_that_of_the_specification() -> None:
    """Its published example, byte for byte, apart from our ids, which start with msg_ too."""
    headers = signed(
        "p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        [key_of(SECRET, "here")],
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


async def test_what_comes_is_proved_by_every_secret_in_the_file(
    webhook: Webhook, far: Receiver, tmp_path: Path
) -> None:
    """So a receiver can change over to a new one; the time is now, the id the delivery's."""
    other = "whsec_" + base64.b64encode(b"k" * 32).decode()
    _write(tmp_path / "siem.url", far.url + "\n")
    _write(tmp_path / "siem.secret", f"{SECRET}\n{other}\n")
    before = int(time.time())
    notice = make_notice(to="siem")
    assert await webhook.post(notice) == Posted(notice.delivery)
    came = await far.next()
    stamp = came.headers["webhook-timestamp"]
    assert before <= int(stamp) <= int(time.time())
    assert came.headers["webhook-id"] == f"msg_{notice.delivery}"
    said = f"{came.headers['webhook-id']}.{stamp}.".encode() + came.body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in (SECRET, other)]
    proofs = [base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()) for key in keys]
    assert came.headers["webhook-signature"] == " ".join(f"v1,{one.decode()}" for one in proofs)
    assert notice.nonce not in str(came)


async def test_a_new_secret_counts_at_once(webhook: Webhook, far: Receiver, tmp_path: Path) -> None:
    """Nobody has to restart the collector for it."""
    _write(tmp_path / "siem.url", far.url)
    proofs = []
    for letter in (b"a", b"b"):
        secret = "whsec_" + base64.b64encode(letter * 32).decode()
        _write(tmp_path / "siem.secret", secret)
        await webhook.post(make_notice(to="siem"))
        proofs.append((await far.next()).headers["webhook-signature"])
    assert proofs[0] != proofs[1]


def test_all_text_in_it_is_safe_to_show() -> None:
    """What a receiver does with it is up to it; nothing in it can hide or reorder."""
    opened = make_opened(make_act(argv=("sh", "-c", HOSTILE), cwd=HOSTILE))
    notice = make_notice(opened, decision=make_decision(by=HOSTILE, reason=HOSTILE))
    text = repr(payload(notice, "request.opened"))
    assert all(letter not in text for letter in ("\u202e", "\x1b", "\n"))
    assert payload(notice, "request.opened")["decision"]["reason"].endswith(r"[2J\n<script>")


@pytest.mark.parametrize("ground", [Ground.DECISION, Ground.BREAK_GLASS])
def test_a_decision_names_its_ground(ground: Ground) -> None:
    """A receiver tells those who were passed over from those who have approved."""
    notice = make_notice(None, decision=make_decision(ground=ground))
    assert payload(notice, "request.changed")["decision"]["ground"] == ground.value


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "is not one address"),
        ("siem.example.com/hook", "is not one address"),
        ("http://siem.example.com/hook", "does not begin with https"),
        ("http://10.0.0.5/hook", "does not begin with https"),
        ("ftp://siem.example.com/hook", "does not begin with https"),
        ("https://u:p@siem.example.com/", "is not one address"),
        ("https://siem.example.com/ https://x.example.com/", "is not one address"),
        ("https://siem.example.com:99999/", "is not one address"),
        ("https://siem.example.com/#x", "is not one address"),
        ("https://[siem", "is not one address"),
        ("https://s\u0456em.example.com/", "is not one address"),
    ],
)
async def test_an_address_that_cannot_be_meant_is_refused_with_its_file(
    webhook: Webhook, tmp_path: Path, url: str, part: str
) -> None:
    """In the clear only to this machine itself; and the address is not repeated."""
    _write(tmp_path / "siem.url", url)
    with pytest.raises(ChannelError, match=part) as caught:
        await webhook.post(make_notice(to="siem"))
    assert str(tmp_path / "siem.url") in str(caught.value)
    assert "example" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "../siem", "a/b", ".hidden", "x" * 101, "siem\n"])
async def test_a_name_leads_to_no_other_file(webhook: Webhook, name: str) -> None:
    """Routes may come from a policy that somebody else has written."""
    with pytest.raises(ChannelError, match="a name has letters"):
        await webhook.post(make_notice(to=name))


@pytest.mark.parametrize(
    ("secret", "mode", "part"),
    [
        ("", 0o600, "is empty"),
        ("geheim", 0o600, "a secret is whsec_"),
        ("whsec_geheim", 0o600, "a secret is whsec_"),
        ("whsec_" + base64.b64encode(b"k" * 23).decode(), 0o600, "a secret is whsec_"),
        ("whsec_" + base64.b64encode(b"k" * 65).decode(), 0o600, "a secret is whsec_"),
        (SECRET, 0o644, "chmod 600"),
        (None, 0o600, "cannot be read"),
    ],
)
async def test_a_secret_that_proves_nothing_is_refused_with_its_file(
    webhook: Webhook, tmp_path: Path, secret: str | None, mode: int, part: str
) -> None:
    """And nothing is sent, and the secret is not repeated."""
    _write(tmp_path / "siem.url", "http://127.0.0.1:1/")
    if secret is not None:
        _write(tmp_path / "siem.secret", secret, mode)
    with pytest.raises(ChannelError, match=part) as caught:
        await webhook.post(make_notice(to="siem"))
    assert str(tmp_path / "siem.secret") in str(caught.value)
    assert "geheim" not in str(caught.value)
