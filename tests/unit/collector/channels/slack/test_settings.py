"""The section [slack]: what cannot be meant is said at the start, with its key and remedy."""

from pathlib import Path

import pytest

from collector import config
from collector.channels.slack.settings import Secrets, Slack, read_secrets
from collector.errors import ConfigError
from tests.support.slack_stand_in import APP_TOKEN, BOT_TOKEN, SECRET
from tests.unit.collector.test_config import MINIMAL

PAGE = (Path(__file__).parents[5] / "docs/slack.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('bot_token_file = "b"', 'slack.app_token_file is empty, and slack.mode "socket"'),
        ('bot_token_file = "b"\nmode = "http"', "slack.signing_secret_file is empty"),
        ('app_token_file = "a"', "slack.bot_token_file is empty"),
        ('mode = "carrier pigeon"', "carrier pigeon"),
        ("request_timeout_s = 0", "slack.request_timeout_s"),
        ("request_timeout_s = 601", "slack.request_timeout_s"),
        ('api_url = "http://slack.example/api/"', "slack.api_url"),
        ('api_url = "https://slack.example/api"', 'ends in "/"'),
        ('api_url = "https:///api/"', "slack.api_url"),
        ('api_url = "https://[::1/"', "slack.api_url"),
        ('bot_tokn_file = "b"', "slack.bot_tokn_file is not a key"),
    ],
)
def test_what_cannot_be_meant_names_its_key(tmp_path: Path, text: str, part: str) -> None:
    """Whoever edits the file finds the line."""
    path = tmp_path / "collector.toml"
    path.write_text(f"{MINIMAL}\n[slack]\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert part in str(caught.value)


def _file(directory: Path, text: str, mode: int = 0o600) -> str:
    path = directory / "secret"
    path.touch()
    path.chmod(mode)
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "text", ["", BOT_TOKEN[5:], f"{BOT_TOKEN} {BOT_TOKEN}", APP_TOKEN, "\u00e9"]
)
def test_a_file_that_holds_something_else_is_named_and_its_text_is_not(
    tmp_path: Path, text: str
) -> None:
    """An error in a log must not carry a token."""
    slack = Slack(bot_token_file=_file(tmp_path, text), app_token_file="a")  # noqa: S106
    with pytest.raises(ConfigError, match=r"slack\.bot_token_file: .*secret") as caught:
        read_secrets(slack)
    assert not text or text not in str(caught.value)


def test_a_file_that_others_may_read_is_refused_with_the_command_that_mends_it(
    tmp_path: Path,
) -> None:
    """The token is a credential."""
    slack = Slack(bot_token_file=_file(tmp_path, BOT_TOKEN, 0o640))
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secrets(slack)


def test_secrets_are_read_without_their_line_end_and_are_never_printed(tmp_path: Path) -> None:
    """Only those that the mode needs are opened."""
    path = _file(tmp_path, f"{BOT_TOKEN}\n")
    other = tmp_path / "signing"
    other.touch(0o600)
    other.write_text(SECRET, encoding="ascii")
    secrets = read_secrets(
        Slack(
            bot_token_file=path,
            app_token_file="/nowhere",  # noqa: S106
            signing_secret_file=str(other),
            mode="http",
        )
    )
    assert (secrets.bot_token, secrets.app_token, secrets.signing_secret) == (BOT_TOKEN, "", SECRET)
    assert BOT_TOKEN not in repr(Secrets(BOT_TOKEN, "", ""))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With what belongs there."""
    slack = Slack(bot_token_file=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"slack\.bot_token_file: .*none cannot be read"):
        read_secrets(slack)


@pytest.mark.parametrize("key", [key for key in config.keys() if key.startswith("slack.")])  # noqa: SIM118
def test_the_page_has_every_key(key: str) -> None:
    """docs/slack.md has a row for each."""
    assert f"| `{key}` |" in PAGE
