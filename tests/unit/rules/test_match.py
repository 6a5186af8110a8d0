"""What the rules say about an act, and that doubt never lets anything through."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings

from rules.examples import parse
from rules.load import load_texts
from rules.match import decide, facts
from rules.model import Action, RuleSet
from tests.unit.rules import strategies
from wire.acts import Act
from wire.messages import OnTimeout, Severity


def _rules(*rules: tuple[str, str, str]) -> RuleSet:
    """Return rules of (action, match, other keys)."""
    text = "rules:\n"
    for number, (action, match, more) in enumerate(rules):
        keys = f", {more}" if more else ""
        text += (
            f"  - {{id: r{number}, description: d, severity: low, action: {action}, "
            f"match: {match}{keys}}}\n"
        )
    return load_texts([("t.yaml", text.encode())])


def _says(rules: RuleSet, act: Act | str, *aliases: str) -> str | None:
    seen = parse(act) if isinstance(act, str) else act
    return decide(rules, seen, aliases).action


DOT_FILE = "{open: {path: /home/*/.secret}}"
ANY_OPEN = '{open: {path: "/**"}}'


def test_deny_beats_allow_beats_ask_beats_observe() -> None:
    """Precedence is by action, whatever the order and the severity."""
    order = ["deny", "allow", "ask", "observe"]
    for start in range(len(order)):
        actions = order[start:]
        random.shuffle(actions)
        rules = _rules(*[(action, ANY_OPEN, "") for action in actions])
        ruling = decide(rules, parse("open: /x"))
        assert ruling.action == order[start]
        assert len(ruling.matched) == len(actions)


def test_among_equals_the_severest_decides_then_the_first_id() -> None:
    """What the reviewer sees is the worst that the rules say about the act."""
    rules = load_texts(
        [
            (
                "t.yaml",
                b"""
rules:
  - {id: b, description: d, severity: high, action: ask, match: {open: {path: /x}}}
  - {id: a, description: d, severity: high, action: ask, match: {open: {path: /x}}}
  - {id: 0, description: d, severity: low, action: ask, match: {open: {path: /x}}}
""",
            )
        ]
    )
    assert [rule.id for rule in decide(rules, parse("open: /x")).matched] == ["a", "b", "0"]


@settings(max_examples=150, deadline=None)
@given(strategies.RULE_SETS, strategies.ACTS)
def test_the_order_of_rules_changes_nothing(rules: RuleSet, act: Act) -> None:
    """The same rules in another order give the same ruling and the same digest."""
    turned = RuleSet(tuple(reversed(rules.rules)))
    assert decide(turned, act) == decide(rules, act)
    assert turned.digest == rules.digest


def test_no_rule_means_no_action() -> None:
    """An act that no rule is about has neither action nor rule."""
    ruling = decide(_rules(("ask", DOT_FILE, "")), parse("open: /etc/hosts"))
    assert (ruling.action, ruling.rule, ruling.matched) == (None, None, ())


def test_a_rule_for_other_subjects_does_not_match() -> None:
    """subjects limits a rule; without it the rule is for everyone."""
    rules = _rules(("ask", DOT_FILE, "subjects: [ai-worker]"))
    act = parse("open: /home/bob/.secret")
    assert decide(rules, act).action is None
    assert decide(rules, replace(act, subject="ai-worker")).action is Action.ASK


def test_keys_must_all_hold_and_lists_any() -> None:
    """AND over keys, OR within a list, and no exception may hold."""
    rules = _rules(
        (
            "ask",
            "{exec: {path: [git, hg], arg: [push, --force], cwd: /srv/**, not: {arg: [-n], "
            "path: /opt/**}}}",
            "",
        )
    )
    assert _says(rules, "exec: cwd=/srv/a /usr/bin/git push") == "ask"
    assert _says(rules, "exec: cwd=/srv/a /usr/bin/hg --force") == "ask"
    assert _says(rules, "exec: cwd=/home/ai /usr/bin/git push") is None
    assert _says(rules, "exec: cwd=/srv/a /usr/bin/git pull") is None
    assert _says(rules, "exec: cwd=/srv/a /usr/bin/git push -n") is None
    assert _says(rules, "exec: cwd=/srv/a /opt/bin/git push") is None
    assert _says(rules, "exec: cwd=/srv/a push pull") is None


def test_a_script_and_a_link_are_known_by_their_own_names_and_by_what_they_run() -> None:
    """exec.path is compared with the program and with the name that the caller used."""
    rules = _rules(
        ("ask", "{exec: {path: /opt/deploy.sh}}", ""), ("deny", "{exec: {path: sh}}", "")
    )
    act = parse("exec: program=/usr/bin/bash cwd=/opt ./deploy.sh x")
    assert _says(rules, act) == "ask"
    assert _says(rules, replace(act, cwd="")) == "ask"
    assert _says(rules, replace(act, cwd="/var")) is None
    assert _says(rules, "exec: program=/usr/bin/bash /opt/../opt//deploy.sh") == "ask"
    assert _says(rules, "exec: program=/usr/bin/sh /var/x") == "deny"


@pytest.mark.parametrize(
    ("flags", "modes"),
    [
        ("read", {"read"}),
        ("write", {"write"}),
        ("read write", {"read", "write"}),
        ("read create", {"read", "write"}),
        ("append write", {"write"}),
        ("write truncate", {"write"}),
    ],
)
def test_write_stands_for_append_truncate_and_create(flags: str, modes: set[str]) -> None:
    """mode looks at what the caller may do to the file."""
    act = f"open: /x {flags}"
    found = {
        mode
        for mode in ("read", "write")
        if _says(_rules(("ask", f"{{open: {{path: /x, mode: {mode}}}}}", "")), act)
    }
    assert found == modes
    assert _says(_rules(("ask", "{open: {path: /x}}", "")), act) == "ask"


def test_a_mapped_address_is_the_address_that_it_reaches() -> None:
    """IPv4 in IPv6's clothes meets the rules about IPv4, and their exceptions."""
    rules = _rules(
        ("ask", "{connect: {address: [169.254.169.254], port: 80-90}}", ""),
        ("deny", '{connect: {address: ["::/0"]}}', ""),
    )
    assert _says(rules, "connect: [::ffff:169.254.169.254]:80") == "ask"
    assert _says(rules, "connect: [::ffff:a9fe:a9fe]:90") == "ask"
    assert _says(rules, "connect: [::ffff:169.254.169.254]:91") is None
    assert _says(rules, "connect: [2001:db8::1]:80") == "deny"


def test_a_unix_socket_has_a_path_and_no_address() -> None:
    """Conditions on one never match the other."""
    rules = _rules(
        ("ask", "{connect: {path: docker.sock}}", ""),
        ("deny", "{connect: {port: [0]}}", ""),
    )
    assert _says(rules, "connect: unix:/run/docker.sock") == "ask"
    assert _says(rules, "connect: unix:/run/x") is None
    assert _says(rules, "connect: 10.0.0.1:1") is None
    assert _says(rules, "send: 10.0.0.1:0 raw") == "deny"


def test_any_name_of_a_file_may_match_and_all_must_to_be_allowed() -> None:
    """A hard link in an allowed directory does not open the way to a secret."""
    ask, allow = ("ask", DOT_FILE, ""), ("allow", "{open: {path: /data/**}}", "")
    linked = "open: /data/link"
    assert _says(_rules(ask), linked, "/home/bob/.secret") == "ask"
    assert _says(_rules(ask, allow), linked) == "allow"
    assert _says(_rules(ask, allow), linked, "/home/bob/.secret") == "ask"
    excepted = _rules(("ask", "{open: {path: /home/**, not: {path: /data/**}}}", ""))
    assert _says(excepted, linked, "/home/bob/.secret") == "ask"


CUT_ACTS = {
    "argv": (
        "{exec: {argv: 'git push *'}}",
        replace(parse("exec: git push origin"), argv_cut=True),
    ),
    "arg": ("{exec: {arg: '--force'}}", replace(parse("exec: git push"), argv_cut=True)),
    "path": ("{open: {path: /x/y}}", replace(parse("open: /x"), path_cut=True)),
    "unresolved": ("{open: {path: /x}}", replace(parse("open: /x"), path_resolved=False)),
    "address": (
        "{connect: {address: 10.0.0.0/8}}",
        replace(parse("send: 192.0.2.1:1"), addresses_cut=True),
    ),
    "port": ("{connect: {port: 53}}", replace(parse("send: 192.0.2.1:53"), addresses_cut=True)),
    "cwd": ("{exec: {cwd: /srv}}", replace(parse("exec: ls"), cwd="")),
}


@pytest.mark.parametrize("name", CUT_ACTS)
def test_what_was_cut_is_taken_for_a_match_but_never_allowed(name: str) -> None:
    """In doubt an ask asks, a deny denies, an allow does not, and an exception does not except."""
    match, act = CUT_ACTS[name]
    kind, _, condition = match.strip("{}").partition(": {")
    excepted = f"{{{kind}: {{not: {{{condition}}}}}}}"
    assert _says(_rules(("ask", match, "")), act) == "ask"
    assert _says(_rules(("deny", match, "")), act) == "deny"
    assert _says(_rules(("allow", match, "")), act) is None
    assert _says(_rules(("ask", excepted, "")), act) == "ask"
    assert _says(_rules(("allow", excepted, "")), act) is None


def test_a_cut_command_line_that_begins_otherwise_does_not_match() -> None:
    """Doubt is about what is hidden; what is seen still counts."""
    rules = _rules(("ask", "{exec: {argv: 'git push *'}}", ""))
    assert _says(rules, replace(parse("exec: make all"), argv_cut=True)) is None


def test_an_unresolved_name_is_allowed_by_nothing_that_looks_at_paths() -> None:
    """A link to the excepted file has another name, so even the exception cannot be trusted."""
    rules = _rules(("allow", "{connect: {transport: unix, not: {path: /run/docker.sock}}}", ""))
    act = parse("connect: unix:/tmp/link")
    assert _says(rules, act) == "allow"
    assert _says(rules, replace(act, path_resolved=False)) is None


@settings(max_examples=300, deadline=None)
@given(strategies.RULE_SETS, strategies.ACTS)
def test_doubt_only_ever_makes_the_ruling_stricter(rules: RuleSet, act: Act) -> None:
    """Marking an act as cut never turns an ask or a deny into an allow or into nothing."""
    strictness = {None: 0, Action.ALLOW: 0, Action.OBSERVE: 0, Action.ASK: 1, Action.DENY: 2}
    doubtful = replace(act, argv_cut=True, path_cut=True, addresses_cut=True)
    assert strictness[decide(rules, doubtful).action] >= strictness[decide(rules, act).action]


def test_the_facts_of_a_rule_name_the_set_that_it_is_from() -> None:
    """What the reviewer sees can be traced to the exact rules in force."""
    rules = _rules(("ask", DOT_FILE, "on_timeout: keep, reason: waived"))
    found = facts(rules.rules[0], rules)
    assert (found.id, found.severity, found.ruleset) == ("r0", Severity.LOW, rules.digest)
    assert (found.on_timeout, found.reason_required) == (OnTimeout.KEEP, False)
