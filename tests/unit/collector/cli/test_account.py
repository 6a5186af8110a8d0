"""login, whoami, completion: where the token comes from, and who can read it."""

import os
import stat
from pathlib import Path

import pytest

from tests.unit.collector.cli.conftest import Holdfast
from tests.unit.collector.cli.fake_centre import TOKEN, FakeCentre

ME = {"name": "ann@example.com", "role": "reviewer", "logins": ["ann"]}


@pytest.fixture(autouse=True)
def _known(centre: FakeCentre) -> None:
    """The centre knows who the token is."""
    centre.answers["/whoami"] = ME


def test_login_stores_address_and_token_for_the_owner_alone(
    centre: FakeCentre, holdfast: Holdfast, home: Path
) -> None:
    """Mode 0600 whatever the umask, and the next command needs nothing more."""
    before = os.umask(0)
    try:
        done = holdfast("login", "--url", centre.url, stdin=f"{TOKEN}\n")
    finally:
        os.umask(before)
    assert done.code == 0
    assert "signed in to" in done.out
    assert stat.S_IMODE(home.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700
    assert [path.name for path in home.parent.iterdir()] == ["config.toml"]
    done = holdfast("whoami")
    assert done.code == 0
    assert "ann@example.com, reviewer (login users: ann)" in done.out
    assert str(home) in done.out


def test_login_tries_the_token_before_it_stores_it(
    centre: FakeCentre, holdfast: Holdfast, home: Path
) -> None:
    """A wrong one leaves nothing behind."""
    done = holdfast("login", "--url", centre.url, stdin="wrong\n")
    assert done.code == 3
    assert not home.exists()


def test_login_reads_a_token_file(
    centre: FakeCentre, holdfast: Holdfast, home: Path, tmp_path: Path
) -> None:
    """And says what is wrong with it if it cannot."""
    file = tmp_path / "token"
    file.write_text(TOKEN, encoding="utf-8")
    done = holdfast("login", "--url", centre.url, "--token-file", str(file), "--json")
    assert done.json == {**ME, "url": centre.url, "file": str(home)}
    done = holdfast("login", "--url", centre.url, "--token-file", str(tmp_path / "missing"))
    assert done.code == 2
    assert "No such file" in done.err
    file.write_text("two words", encoding="utf-8")
    assert holdfast("login", "--url", centre.url, "--token-file", str(file)).code == 3


def test_without_a_token_one_is_told_how_to_sign_in(holdfast: Holdfast) -> None:
    """Exit code 3."""
    done = holdfast("pending")
    assert done.code == 3
    assert "holdfast login" in done.err
    assert holdfast("pending", "--json").error["code"] == "not_signed_in"


def test_a_stored_token_is_not_sent_to_another_address(
    centre: FakeCentre, holdfast: Holdfast
) -> None:
    """--url alone must not carry a token to whoever answers there."""
    holdfast("login", "--url", centre.url, stdin=TOKEN)
    asked = len(centre.log)
    done = holdfast("pending", "--url", centre.url.replace("127.0.0.1", "localhost"))
    assert done.code == 3
    assert len(centre.log) == asked


def test_a_configuration_that_others_can_read_is_refused(
    centre: FakeCentre, holdfast: Holdfast, home: Path
) -> None:
    """With the command that mends it."""
    holdfast("login", "--url", centre.url, stdin=TOKEN)
    home.chmod(0o644)
    done = holdfast("pending")
    assert done.code == 2
    assert f"chmod 600 {home}" in done.err


def test_a_broken_configuration_names_the_file(holdfast: Holdfast, home: Path) -> None:
    """And not a line of Python."""
    home.parent.mkdir()
    home.touch(0o600)
    home.write_text("url = [", encoding="utf-8")
    done = holdfast("pending")
    assert done.code == 2
    assert str(home) in done.err


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "centre.example.com", "https://", "http://[::1", "https://a:b@c", "http://x:y"],
)
def test_an_address_must_be_one(holdfast: Holdfast, url: str) -> None:
    """Nothing is sent anywhere."""
    done = holdfast("pending", "--url", url)
    assert done.code == 2
    assert "not the address of a centre" in done.err


def test_a_token_is_not_sent_over_the_network_unencrypted(
    holdfast: Holdfast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http is for this machine, unless one insists."""
    done = holdfast("pending", "--url", "http://192.0.2.1:8420")
    assert done.code == 2
    assert "HOLDFAST_PLAIN_HTTP=1" in done.err
    monkeypatch.setenv("HOLDFAST_PLAIN_HTTP", "1")
    assert holdfast("pending", "--url", "http://192.0.2.1:8420").code == 3


def test_whoami_says_where_the_token_comes_from(centre: FakeCentre, signed_in: Holdfast) -> None:
    """So that one finds out which of several counts."""
    assert "HOLDFAST_TOKEN" in signed_in("whoami").out
    done = signed_in("whoami", "--json")
    assert done.json == {**ME, "url": centre.url, "source": "HOLDFAST_TOKEN"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(holdfast: Holdfast, shell: str) -> None:
    """For packages, which cannot ask which shell is running."""
    out = holdfast("completion", shell).out
    assert "_HOLDFAST_COMPLETE=complete_" + shell in out
    assert holdfast("completion", shell, "--json").json["shell"] == shell
