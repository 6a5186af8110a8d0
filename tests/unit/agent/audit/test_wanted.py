"""What the rules' tables want of an act, held against the plain model of the kernel's look-ups."""

import os
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.audit.wanted import STOP, Wanted
from rules.examples import parse
from rules.load import PACKS, load, load_texts
from rules.match import decide
from rules.model import Action, RuleSet
from rules.modes import KINDS, HostMode
from rules.superset import Want, compile_tables
from tests.unit.rules import kernel_model, strategies
from wire.acts import Act, Kind

PACKED = load([PACKS])
# Without what only programs in the kernel act upon.
PLAIN = STOP | Want.OBSERVE_READ | Want.OBSERVE_WRITE


@given(strategies.RULE_SETS, strategies.ACTS)
def test_every_act_that_rules_rule_on_is_wanted(rules: RuleSet, act: Act) -> None:
    """Whatever is asked about or denied is stopped; what is observed is wanted at all."""
    if act.kind not in KINDS[HostMode.AUDIT]:
        return
    found = Wanted(compile_tables(rules, HostMode.AUDIT)).of(act)
    action = decide(rules, act).action
    if action in (Action.ASK, Action.DENY):
        assert found & STOP
    elif action is Action.OBSERVE:
        assert found


@given(strategies.RULE_SETS, strategies.ACTS)
def test_no_more_is_wanted_than_the_kernel_would_find(rules: RuleSet, act: Act) -> None:
    """Where all is known of an act, the look-ups are those of the other modes."""
    if act.addresses_cut or act.path_cut or act.transport is None:
        return
    if act.kind in (Kind.CONNECT, Kind.SEND) and not (act.address or act.path):
        return
    tables = compile_tables(rules, HostMode.AUDIT)
    assert (
        Wanted(tables).of(replace(act, inode=0)) & PLAIN == kernel_model.want(tables, act) & PLAIN
    )


@given(st.sampled_from(PACKED.rules), strategies.ACTS)
def test_the_packs_want_what_the_kernel_would_find(rule: object, act: Act) -> None:
    """With all that they name, at once."""
    assert rule
    if act.addresses_cut or act.path_cut or act.transport is None:
        return
    tables = compile_tables(PACKED, HostMode.AUDIT)
    assert (
        Wanted(tables).of(replace(act, inode=0)) & PLAIN == kernel_model.want(tables, act) & PLAIN
    )


def test_a_file_that_is_named_in_full_is_wanted_under_any_name(tmp_path: Path) -> None:
    """By device and inode, as they are when it is asked."""
    secret = tmp_path / "secret"
    secret.touch()
    text = f"""
rules:
  - id: test.one
    description: One rule.
    severity: info
    match: {{ open: {{ path: {secret} }} }}
    action: ask
"""
    wanted = Wanted(compile_tables(load_texts([("rules.yaml", text.encode())]), HostMode.AUDIT))
    seen = os.stat(secret)
    act = replace(parse("open: /other read"), device=seen.st_dev, inode=seen.st_ino)
    assert wanted.of(act) & STOP
    assert not wanted.of(replace(act, inode=seen.st_ino + 1))
