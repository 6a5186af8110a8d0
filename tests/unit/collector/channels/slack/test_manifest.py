"""deploy/slack/manifest.yaml asks Slack for what the code uses, no more and no less."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.channels.slack.app import EVENTS, SCOPES
from collector.channels.slack.commands import COMMAND, SUBCOMMANDS
from collector.channels.slack.http import PATH
from collector.channels.slack.settings import Slack

CHECKOUT = Path(__file__).resolve().parents[5]
MANIFEST = yaml.safe_load((CHECKOUT / "deploy/slack/manifest.yaml").read_text(encoding="utf-8"))
PAGE = (CHECKOUT / "docs/slack.md").read_text(encoding="utf-8")
CODE = CHECKOUT / "collector/channels/slack"

# What Slack's reference says that each method needs; one of the app's own needs nothing.
NEEDS = {
    "auth_test": set(),
    "bots_info": {"users:read"},
    "chat_postEphemeral": {"chat:write"},
    "chat_postMessage": {"chat:write", "chat:write.public"},
    "chat_update": {"chat:write"},
    "conversations_history": {
        "channels:history",
        "groups:history",
        "im:history",
        "mpim:history",
    },
    "conversations_list": {"channels:read", "groups:read"},
    "conversations_replies": {
        "channels:history",
        "groups:history",
        "im:history",
        "mpim:history",
    },
    "conversations_open": {"im:write", "mpim:write"},
    "users_info": {"users:read"},
    "users_lookupByEmail": {"users:read.email"},
    "views_open": set(),
    "views_update": set(),
}
# Messages of a conversation come with the scope that reads its history.
KINDS = ("channels", "groups", "im", "mpim")
EVENT_NEEDS = {f"message.{kind}": f"{kind}:history" for kind in KINDS}


def _methods() -> Iterator[str]:
    """Yield the methods of the Web API that the code calls."""
    for path in CODE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if name in ("_client", "client"):
                    yield node.func.attr


def test_the_scopes_are_those_that_methods_events_and_the_command_need() -> None:
    """A scope more is a right that nobody needs; one less is an error on the first card."""
    methods = set(_methods())
    assert methods == set(NEEDS), "a method without its scopes in this test, or one no longer used"
    needed = set[str]().union(*NEEDS.values(), EVENT_NEEDS.values(), {"commands"})
    asked = MANIFEST["oauth_config"]["scopes"]["bot"]
    assert set(asked) == set(SCOPES) == needed
    assert len(asked) == len(set(asked))


def test_the_events_are_those_that_are_listened_to() -> None:
    """Replies in every kind of conversation that a card can be in."""
    assert tuple(MANIFEST["settings"]["event_subscriptions"]["bot_events"]) == EVENTS
    assert set(EVENTS) == set(EVENT_NEEDS)


def test_the_command_is_there_with_its_subcommands() -> None:
    """Slack shows the hint while somebody types."""
    (command,) = MANIFEST["features"]["slash_commands"]
    assert command["command"] == COMMAND
    assert command["usage_hint"].split(" | ") == [one.usage for one in SUBCOMMANDS.values()]


def test_it_is_for_socket_mode_and_one_workspace() -> None:
    """The default, which needs no way in."""
    assert Slack().mode == "socket"
    assert MANIFEST["settings"]["socket_mode_enabled"] is True
    assert MANIFEST["settings"]["interactivity"]["is_enabled"] is True
    assert MANIFEST["settings"]["org_deploy_enabled"] is False


def _blocks(language: str) -> list[str]:
    found = PAGE.split(f"```{language}\n")[1:]
    blocks = []
    for text in found:
        lines = text.split("```")[0].splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        blocks.append("\n".join(line[indent:] for line in lines))
    return blocks


def test_the_page_has_the_variant_for_http_mode() -> None:
    """Every address in it is the route that the collector serves."""
    (text,) = _blocks("yaml")
    variant: dict[str, Any] = yaml.safe_load(text)
    settings = variant["settings"]
    assert settings["socket_mode_enabled"] is False
    addresses = [
        variant["features"]["slash_commands"][0]["url"],
        settings["event_subscriptions"]["request_url"],
        settings["interactivity"]["request_url"],
    ]
    assert all(address.endswith(PATH) for address in addresses)


@pytest.mark.parametrize("verb", SUBCOMMANDS)
def test_the_page_has_every_subcommand(verb: str) -> None:
    """As its help says it."""
    one = SUBCOMMANDS[verb]
    assert f"| `{COMMAND} {one.usage}` | {one.does} |" in PAGE
