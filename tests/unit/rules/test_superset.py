"""The kernel's tables let through at least every act that a rule is about."""

import ipaddress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.examples import parse
from rules.load import PACKS, load, load_texts
from rules.match import decide
from rules.model import Action, Rule, RuleSet, kinds_of
from rules.modes import KINDS, HostMode, in_effect
from rules.superset import ByTransport, KernelTables, NetworkWant, Table, Want, compile_tables
from tests.unit.rules import kernel_model, strategies
from wire.acts import KINDS_OF_CHANGE, Act, Kind, Transport
from wire.messages import OnDeny, OnNoAgent

PACKED = load([PACKS])
EXAMPLES = 500
STOP = Want.STOP_READ | Want.STOP_WRITE
OBSERVE = Want.OBSERVE_READ | Want.OBSERVE_WRITE


@settings(max_examples=EXAMPLES, deadline=None)
@given(strategies.RULE_SETS, strategies.ACTS)
def test_the_kernel_passes_every_act_that_the_rules_rule_on(rules: RuleSet, act: Act) -> None:
    """Whenever decide asks or denies, the tables say STOP; whenever it observes, OBSERVE."""
    _passes(rules, act)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_the_same_holds_for_acts_made_from_the_rules_own_patterns(data: st.DataObject) -> None:
    """Acts that are near a rule's pattern: each wildcard is filled in, so most of them match."""
    rules = data.draw(strategies.RULE_SETS)
    named = [rule.match for rule in rules.rules if rule.match.path is not None]
    if not named:
        return
    match = data.draw(st.sampled_from(named))
    assert match.path is not None
    pattern = data.draw(st.sampled_from(match.path.patterns))
    name = _filled(pattern, data.draw(st.sampled_from(["a", "b/a", ".ssh", "x.sock"])))
    kind = data.draw(st.sampled_from(sorted(kinds_of(match))))
    act = data.draw(strategies.OF_KIND[kind])
    resolved = name if name.startswith("/") else f"/{name}"
    spelled = data.draw(st.sampled_from([name, resolved.replace("/", "//"), name.lstrip("/")]))
    if act.kind is Kind.EXEC:
        act = replace(act, executable=resolved, filename=spelled)
    elif act.transport is Transport.UNIX:
        act = replace(act, path=spelled, path_resolved=False)
    elif act.kind is Kind.OPEN:
        act = replace(act, path=resolved)
    elif act.kind in KINDS_OF_CHANGE:
        mounted = spelled if act.kind is Kind.MOUNT else resolved
        first = data.draw(st.booleans())
        act = replace(act, path=resolved) if first else replace(act, second_path=mounted)
    _passes(rules, act)


def _passes(rules: RuleSet, act: Act) -> None:
    """Hold what the kernel finds against what each mode's rules say."""
    for mode in (HostMode.GATE, HostMode.STOP):
        ruling = decide(in_effect(rules, mode), act)
        if act.kind not in KINDS[mode] or ruling.rule is None:
            continue
        found = kernel_model.want(compile_tables(rules, mode), act)
        if ruling.action in (Action.ASK, Action.DENY):
            assert found & STOP
            assert mode is HostMode.STOP or _says_what_goes_with_it(ruling.rule, found)
        elif ruling.action is Action.OBSERVE:
            assert found & OBSERVE


def _says_what_goes_with_it(rule: Rule, found: Want) -> bool:
    """Return whether what is found is at least as strict as what the rule says goes with a stop."""
    refused = rule.on_deny is OnDeny.KILL or found & Want.REFUSE
    strict = {
        OnNoAgent.ALLOW: Want(~0),
        OnNoAgent.HOLD: Want.NO_AGENT_HOLD | Want.NO_AGENT_DENY,
        OnNoAgent.DENY: Want.NO_AGENT_DENY,
    }[rule.on_no_agent]
    return bool(refused and found & strict)


def _filled(pattern: str, text: str) -> str:
    for wild in ("**", "*", "[!a]", "[ab]", "?"):
        pattern = pattern.replace(wild, text if wild == "**" else text[-1])
    return pattern


@settings(max_examples=200, deadline=None)
@given(strategies.RULE_SETS)
def test_every_longer_entry_carries_the_bits_of_the_shorter(rules: RuleSet) -> None:
    """A longest match finds one entry only, so a longer prefix or suffix may never say less."""
    tables = compile_tables(rules, HostMode.GATE)
    for (table, short), bits in tables.prefixes.items():
        for (other, long), more in (tables.prefixes | tables.exact).items():
            if table is other and long.startswith(short) and short:
                assert more & bits == bits
    for (table, short), bits in tables.suffixes.items():
        for (other, long), more in tables.suffixes.items():
            if table is other and long.endswith(short):
                assert more & bits == bits


@pytest.mark.parametrize("rule", PACKED.rules, ids=lambda rule: str(rule.id))
def test_the_kernel_passes_every_example_of_the_packs(rule: Rule) -> None:
    """What the packs say they are about does reach the agent, stopped where it is asked about."""
    tables = compile_tables(PACKED, HostMode.GATE)
    for example in rule.examples.match:
        act = parse(example.text)
        if decide(PACKED, act).action is Action.ASK:
            assert kernel_model.want(tables, act) & STOP
        else:
            assert kernel_model.want(tables, act) & OBSERVE


def test_each_pattern_goes_to_its_most_selective_index() -> None:
    """Whole paths, long prefixes, telling components, suffixes, short prefixes, then anything."""
    tables = _tables(
        """
      open:
        path: [/etc/shadow, "/etc/cron*/**", "/home/*/.aws/credentials", "**/.ssh/id_*",
               "**/*.pem", "/home/*", "**"]
    """
    )
    stop = STOP
    assert tables.exact == {(Table.OPEN, "/etc/shadow"): stop}
    assert tables.prefixes == {(Table.OPEN, "/etc/cron"): stop, (Table.OPEN, "/home/"): stop}
    assert tables.components == {(Table.OPEN, ".ssh"): stop}
    assert tables.suffixes == {
        (Table.OPEN, "/.aws/credentials"): stop,
        (Table.OPEN, ".pem"): stop,
    }
    assert tables.anything == {Table.OPEN: stop}
    assert tables.literals == {(Table.OPEN, "/etc/shadow"): stop}
    assert tables.kinds == {Kind.OPEN}


def test_a_program_is_found_by_its_last_component_however_it_is_called() -> None:
    """A script that is called by a relative name is still passed to the agent."""
    tables = _tables("exec: {path: /opt/tools/deploy.sh}")
    for name in ("/opt/tools/deploy.sh", "./deploy.sh", "deploy.sh", "/opt//tools/../x/deploy.sh"):
        assert kernel_model.lookup(tables, Table.EXEC, name) == Want.STOP_READ
    assert not kernel_model.lookup(tables, Table.EXEC, "./other.sh")
    assert tables.literals == {(Table.EXEC, "/opt/tools/deploy.sh"): Want.STOP_READ}


def test_relative_names_are_passed_where_a_directory_is_the_pattern() -> None:
    """Nothing literal is left of /opt/tools/** when it is called as ./x, so all relative pass."""
    tables = _tables('exec: {path: "/opt/tools/**"}')
    assert kernel_model.lookup(tables, Table.EXEC, "x") == Want.STOP_READ
    assert kernel_model.lookup(tables, Table.EXEC, "/opt/tools/x") == Want.STOP_READ
    assert kernel_model.lookup(tables, Table.EXEC, "/usr/bin/x") == Want(0)


def test_a_port_entry_replaces_and_an_exception_cuts_a_hole() -> None:
    """Everything but the private network is stopped, and DNS nowhere."""
    tables = _tables(
        """
      connect:
        address: [0.0.0.0/0]
        not: {address: [10.0.0.0/8], port: 53}
    """
    )
    everywhere = NetworkWant(ByTransport.every(Want.STOP_READ), {53: ByTransport()})
    v4, v6 = ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")
    assert tables.networks[v4] == everywhere
    assert tables.networks[ipaddress.ip_network("10.0.0.0/8")] == NetworkWant(ByTransport())
    assert tables.networks[v6] == NetworkWant(ByTransport())


def test_an_allow_puts_nothing_into_the_tables() -> None:
    """The kernel does not know allow: the agent says it, after the kernel passed the act."""
    tables = _tables("open: {path: /etc/shadow}", action="allow")
    assert tables.exact == {} and tables.kinds == frozenset()


def test_modes_and_actions_choose_the_bits() -> None:
    """An observed write is not stopped and not read."""
    tables = _tables("open: {path: /etc/passwd, mode: write}", action="observe")
    assert tables.exact == {(Table.OPEN, "/etc/passwd"): Want.OBSERVE_WRITE}


def _tables(match: str, action: str = "ask", mode: HostMode = HostMode.STOP) -> KernelTables:
    text = f"""
rules:
  - id: test.rule
    description: A test.
    severity: low
    action: {action}
    match:
      {match.strip()}
"""
    return compile_tables(load_texts([("test.yaml", text.encode())]), mode)
