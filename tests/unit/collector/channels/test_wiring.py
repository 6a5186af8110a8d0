"""Channels as the configuration sets them up, and what is refused at the start."""

import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from collector import config
from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.approvals.register import Register
from collector.channels.interface import Route
from collector.channels.wiring import FILE, routes, start_channels
from collector.errors import ConfigError
from collector.identity.people import Caller, Role
from collector.trail.reader import Reader
from tests.support.policies import any_reviewer
from tests.unit.collector.samples import make_decision, make_opened
from tests.unit.collector.test_config import MINIMAL
from wire.messages import Ground


def _load(directory: Path, text: str) -> config.Config:
    path = directory / "collector.toml"
    path.write_text(MINIMAL.replace("/srv/", "") + text, encoding="utf-8")
    return config.load(path)


async def test_without_a_section_there_is_nothing_but_the_record(tmp_path: Path) -> None:
    """A collector that was set up before there were channels starts as it did."""
    async with AsyncExitStack() as stack:
        book = Book(Register(), cast("Reader", None))
        dispatcher = start_channels(_load(tmp_path, ""), book, any_reviewer(), stack)
        assert (await dispatcher.overview()).lanes == ()
    assert (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[channels]\ndefault = ['teams:x']\n", "teams:x has no section"),
        ("[channels]\nfallback = ['pager']\n[teams]\ndirectory='t'\n", "set up: teams"),
        ("[channels]\ndefault = ['']\n", "channels.default: '' is not a route"),
        ("[channels]\ndefault = ['we b:x']\n", "is not a route"),
        ('[channels]\ndefault = ["teams:x\\u001b"]\n', "is not a route"),
        ("[channels]\nfallback = ['#approvals']\n", "channels.fallback"),
        ("[channels]\ntimeout_s = 0\n", "channels.timeout_s must be more than 0"),
        ("[webhook]\ndirectory='w'\ntls_ca = 'missing.pem'\n", "webhook.tls_ca"),
    ],
)
async def test_what_cannot_be_meant_is_refused_at_the_start(
    tmp_path: Path, text: str, part: str
) -> None:
    """With the key and the remedy, not by a card that never comes."""
    with pytest.raises(ConfigError, match=part):
        async with AsyncExitStack() as stack:
            book = Book(Register(), cast("Reader", None))
            start_channels(_load(tmp_path, text), book, any_reviewer(), stack)


POLICY = """\
policies:
  - id: only
    channels: [teams:all]
    escalate: [{after: 7d, channels: [teams:leads]}]
"""


def _policies(directory: Path, text: str) -> Policies:
    file = directory / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    return Policies(file, host=lambda _, claimed: (claimed, {}), people=lambda: _SOMEBODY)


_SOMEBODY = (Caller("ann", Role.REVIEWER, (), ""),)
_DEFAULT = (Route("teams", "default"),)


async def test_a_policy_that_names_a_channel_that_is_not_set_up_is_refused(tmp_path: Path) -> None:
    """At the start, and when it is read again; what is in force then stays."""
    book = Book(Register(), cast("Reader", None))
    policies = _policies(tmp_path, POLICY.replace("teams:leads", "pager"))
    with pytest.raises(ConfigError, match="pager has no section"):
        async with AsyncExitStack() as stack:
            start_channels(_load(tmp_path, "[teams]\ndirectory='t'\n"), book, policies, stack)
    policies = _policies(tmp_path, POLICY)
    async with AsyncExitStack() as stack:
        start_channels(_load(tmp_path, "[teams]\ndirectory='t'\n"), book, policies, stack)
        _policies(tmp_path, POLICY.replace("teams:all", "pager"))
        with pytest.raises(ConfigError, match="pager has no section"):
            policies.reload()
        assert policies.policies.policies[0].channels == ("teams:all",)


def test_a_request_goes_where_its_policy_says(tmp_path: Path) -> None:
    """Else where the configuration says; after break-glass to everybody who was passed over."""
    opened = make_opened(opened_ns=time.time_ns())
    assert routes(_policies(tmp_path, POLICY), _DEFAULT)(Record(opened)) == (Route("teams", "all"),)
    plain = _policies(tmp_path, "policies: [{id: plain}]")
    assert routes(plain, _DEFAULT)(Record(opened)) == _DEFAULT
    broken = Record(opened, decision=make_decision(ground=Ground.BREAK_GLASS))
    assert routes(_policies(tmp_path, POLICY), _DEFAULT)(broken) == (
        Route("teams", "all"),
        Route("teams", "leads"),
    )


_LEADS, _LAST = Route("teams", "leads"), Route("teams", "last")


def test_escalation_adds_to_the_default_where_the_policy_names_no_channel(tmp_path: Path) -> None:
    """Whoever was asked first does not lose the request to those who are asked next."""
    text = POLICY.replace("    channels: [teams:all]\n", "")
    record = Record(make_opened(opened_ns=time.time_ns()))
    stuck = _policies(
        tmp_path, text.replace("id: only", "id: only\n    approve: [{group: ghosts}]")
    )
    assert routes(stuck, _DEFAULT, [_LAST])(record) == (*_DEFAULT, _LEADS)
    broken = replace(record, decision=make_decision(ground=Ground.BREAK_GLASS))
    assert routes(_policies(tmp_path, text), _DEFAULT)(broken) == (*_DEFAULT, _LEADS)
    assert routes(_policies(tmp_path, text), _DEFAULT)(record) == _DEFAULT


def test_what_nobody_may_approve_goes_to_the_fallback_where_no_step_is_left(tmp_path: Path) -> None:
    """Nobody waits for somebody who is not there; once it is over nobody else is told."""
    stuck = _policies(tmp_path, "policies: [{id: stuck, approve: [{group: ghosts}]}]")
    record = Record(make_opened(opened_ns=time.time_ns()))
    assert routes(stuck, _DEFAULT, [_LAST])(record) == (*_DEFAULT, _LAST)
    decided = replace(record, decision=make_decision())
    assert routes(stuck, _DEFAULT, [_LAST])(decided) == _DEFAULT
    plain = _policies(tmp_path, "policies: [{id: plain}]")
    assert routes(plain, _DEFAULT, [_LAST])(record) == _DEFAULT


def test_whoever_answers_for_the_subject_is_told_whatever_the_policy_names(tmp_path: Path) -> None:
    """Once, also where the policy names them itself; and nobody where nobody answers for it."""
    owner = Route("slack", "owner")
    record = Record(make_opened(opened_ns=time.time_ns()))
    named = _policies(tmp_path, POLICY)
    assert routes(named, _DEFAULT, owner=owner)(record) == (Route("teams", "all"), owner)
    itself = _policies(tmp_path, POLICY.replace("[teams:all]", '["slack:owner", "teams:all"]'))
    assert routes(itself, _DEFAULT, owner=owner)(record) == (owner, Route("teams", "all"))
    nobody = Record(make_opened(owner="", opened_ns=time.time_ns()))
    assert routes(named, _DEFAULT, owner=owner)(nobody) == (Route("teams", "all"),)


@pytest.mark.parametrize("text", ["slack:#approvals", "slack:@ann", "teams:a", "webhook", "a:b:c"])
def test_a_route_is_written_as_it_is_read(text: str) -> None:
    """In the configuration, in the log and by the API alike."""
    assert str(Route.parse(text)) == text
