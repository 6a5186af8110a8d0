"""Rules about what changes files, processes and the host: by which names and words they match."""

from dataclasses import replace
from typing import Any

import pytest

from rules.examples import parse
from rules.explain import explain
from rules.load import load_texts
from rules.match import decide
from rules.model import Action, RuleSet
from rules.modes import HostMode, in_effect, powerless, without_effect
from rules.superset import ByTransport, KernelTables, Table, Want, compile_tables
from rules.superset import observe_bit as observe
from rules.superset import stop_bit as stop
from tests.unit.rules import kernel_model
from wire.acts import KINDS_OF_CHANGE, KINDS_OF_PROCESSES, KINDS_WITHOUT_FILE, Act, Kind
from wire.messages import OnDeny, OnNoAgent

HOLD = Want.NO_AGENT_HOLD


def rules(*matches: str, action: str = "ask", more: str = "") -> RuleSet:
    """Return rules r0, r1, ... with these conditions."""
    text = "rules:\n" + "".join(
        f"  - id: r{number}\n    description: A test.\n    severity: low\n    action: {action}\n"
        f"    match: {{{match}}}\n{more}"
        for number, match in enumerate(matches)
    )
    return load_texts([("t.yaml", text.encode())])


def said(match: str, act: Act | str, action: str = "ask") -> bool:
    """Return whether one rule with these conditions decides the act."""
    act = parse(act) if isinstance(act, str) else act
    return decide(rules(match, action=action), act).action is Action(action)


@pytest.mark.parametrize(
    ("match", "act", "expected"),
    [
        ("create: {path: '/etc/cron.d/*'}", "create: /etc/cron.d/x", True),
        ("create: {path: '/etc/cron.d/*'}", "create: /etc/cron.d/x fifo", True),
        ("create: {path: '/etc/**', operation: device}", "create: /etc/x file", False),
        ("truncate: {path: '/var/log/**'}", "truncate: /var/log/syslog to 10 bytes", True),
        ("truncate: {path: '/var/log/**'}", "open: /var/log/syslog write truncate", True),
        ("truncate: {path: '/var/log/**'}", "open: /var/log/syslog write append", False),
        (
            "truncate: {path: '/var/log/**'}",
            "open: /var/log/new write create truncate created",
            False,
        ),
        ("truncate: {operation: to 0 *}", "open: /srv/x write truncate", True),
        ("truncate: {operation: to 0 *}", "truncate: /srv/x to 1 bytes", False),
        ("delete: {path: /etc/passwd}", "delete: /etc/passwd", True),
        ("delete: {path: /etc/passwd}", "delete: /etc/passwd-", False),
        ("delete: {operation: directory}", "delete: /srv/x directory", True),
        ("rename: {path: '/etc/cron.d/*'}", "rename: /srv/x -> /etc/cron.d/x", True),
        ("rename: {path: '/etc/cron.d/*'}", "rename: /etc/cron.d/x -> /srv/x", True),
        ("rename: {path: '/etc/cron.d/*'}", "rename: /srv/x -> /srv/y", False),
        ("link: {path: /etc/shadow}", "link: /etc/shadow -> /srv/x", True),
        ("symlink: {path: '/etc/cron.d/*'}", "symlink: /etc/cron.d/x -> /srv/x", True),
        ("symlink: {path: /etc/shadow}", "symlink: /srv/x -> /etc/shadow", False),
        ("chmod: {operation: '[2467]???'}", "chmod: /srv/x 4755", True),
        ("chmod: {operation: '[2467]???'}", "chmod: /srv/x 0755", False),
        ("chown: {operation: ['0:*', '*:0']}", "chown: /srv/x -:0", True),
        ("chown: {operation: ['0:*', '*:0']}", "chown: /srv/x 1000:-", False),
        ("mount: {operation: 'bind*'}", "mount: /etc -> /mnt bind ro", True),
        ("mount: {path: /etc}", "mount: /etc -> /mnt bind", True),
        ("mount: {path: /mnt}", "mount: /etc -> /mnt bind", True),
        ("mount: {path: /mnt}", "mount: /mnt umount", True),
        ("mount: {path: tmpfs}", "mount: tmpfs -> /mnt tmpfs nosuid", False),
        ("listen: {address: [0.0.0.0, '::']}", "listen: 0.0.0.0:80", True),
        ("listen: {address: [0.0.0.0, '::']}", "listen: 127.0.0.1:80", False),
        ("listen: {path: '/run/*.sock'}", "listen: unix:/run/x.sock", True),
        ("listen: {port: 1-1023}", "connect: 127.0.0.1:80", False),
        ("trace: {operation: attach}", "trace: attach 1234 sshd", True),
        ("trace: {operation: '* memory'}", "trace: write memory 1234 sshd", True),
        ("identity: {operation: setuid 0}", "identity: setuid 0", True),
        ("identity: {operation: setuid 0}", "identity: setuid 1000", False),
        ("module: {operation: '*'}", "module: load", True),
        ("module: {path: '/tmp/**'}", "module: load /tmp/x.ko", True),
        ("module: {path: '/tmp/**'}", "module: load", False),
        ("module: {operation: '*', not: {path: '/lib/modules/**'}}", "module: load", True),
        ("bpf: {operation: prog_load}", "bpf: prog_load", True),
        ("namespace: {operation: '*user*'}", "namespace: unshare user,mount", True),
        ("namespace: {operation: '*user*'}", "namespace: setns mount", False),
    ],
)
def test_an_act_is_matched_by_its_names_and_its_operation(
    match: str, act: str, expected: bool
) -> None:
    """Each kind by the words that docs/rules.md gives for it."""
    assert said(match, act) is expected


@pytest.mark.parametrize(
    ("match", "act", "expected"),
    [
        ("open: {path: /etc/x, mode: write}", "create: /etc/x", True),
        ("open: {path: /etc/x, mode: write}", "truncate: /etc/x", True),
        ("open: {path: /etc/x}", "create: /etc/x", True),
        # An open makes neither; and what is not there yet has nothing to read.
        ("open: {path: /etc/x, mode: write}", "create: /etc/x directory", False),
        ("open: {path: /etc/x, mode: read}", "create: /etc/x", False),
        ("open: {path: /etc/x, not: {mode: write}}", "create: /etc/x", False),
        ("open: {path: /etc/x, mode: write}", "delete: /etc/x", False),
    ],
)
def test_a_rule_about_writing_also_catches_what_comes_before(
    match: str, act: str, expected: bool
) -> None:
    """In gate mode the file is made in a call of its own, before the open; the kernel passes it."""
    assert said(match, act) is expected
    found = kernel_model.want(compile_tables(rules(match), HostMode.GATE), parse(act))
    assert found or not expected


def test_an_open_that_makes_an_unknown_thing_could_be_a_file() -> None:
    """What kind of thing is made may be unknown; then a rule that asks takes it as a file."""
    act = replace(parse("create: /etc/x"), operation="")
    match = "open: {path: /etc/x, mode: write}"
    assert said(match, act) and not said(match, act, action="allow")


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/srv/x", "path_cut": True},
        {"second_path": "/srv/x", "second_path_cut": True},
        {"path_resolved": False},
    ],
)
def test_a_name_that_is_cut_or_in_doubt_is_asked_about_and_never_allowed(
    changes: dict[str, Any],
) -> None:
    """Of a rename with half a name, the missing half may be the one that matters."""
    match = "rename: {path: '/etc/cron.d/*'}"
    act = replace(parse("rename: /etc/cron.d/a -> /etc/cron.d/b"), **changes)
    assert said(match, act)
    assert not said(match, act, action="allow")


def test_an_allowed_rename_is_allowed_at_both_ends() -> None:
    """From a directory that is free into one that is not: no allow of the first may pass it."""
    free = "rename: {path: '/srv/**'}"
    assert said(free, "rename: /srv/a -> /srv/b", action="allow")
    assert not said(free, "rename: /srv/a -> /etc/cron.d/b", action="allow")
    assert not said(free, "rename: /etc/passwd -> /srv/b", action="allow")


def test_an_exception_holds_for_both_ends_too() -> None:
    """Out of the excepted directory is not inside it."""
    match = "rename: {path: '/etc/**', not: {path: '/etc/app/**'}}"
    assert not said(match, "rename: /etc/app/a -> /etc/app/b")
    assert said(match, "rename: /etc/app/a -> /etc/cron.d/b")


@pytest.mark.parametrize(
    ("source", "cwd"),
    [(".ssh", "/home/bob"), ("../bob/.ssh", "/home/ann"), ("./.ssh/.", "/home/bob"), (".ssh", "")],
)
def test_what_is_mounted_goes_by_the_name_that_the_caller_has_for_it(source: str, cwd: str) -> None:
    """A relative source is read from the caller's directory; without one it could be anywhere."""
    match = "mount: {path: '/home/*/.ssh'}"
    act = replace(parse("mount: x -> /mnt bind"), second_path=source, cwd=cwd)
    assert said(match, act) and not said(match, act, action="allow")
    # No look-up could find that name, so the kernel passes every mount.
    tables = compile_tables(rules(match), HostMode.GATE)
    assert kernel_model.want(tables, act) & Want.STOP_READ


def test_an_operation_that_nobody_knows_could_be_any() -> None:
    """Asked about, and never allowed."""
    act = replace(parse("bpf: prog_load"), operation="")
    assert said("bpf: {operation: map_create}", act)
    assert not said("bpf: {operation: map_create}", act, action="allow")


def tables_of(*matches: str, action: str = "ask", more: str = "") -> KernelTables:
    """Return the tables of gate mode."""
    return compile_tables(rules(*matches, action=action, more=more), HostMode.GATE)


def test_each_kind_has_a_bit_of_its_own_in_the_table_of_changes() -> None:
    """Observed or stopped; one entry has the bits of all that is wanted of the path."""
    deletes = stop(Kind.DELETE) | HOLD
    assert tables_of("delete: {path: /etc/x}").exact == {(Table.CHANGE, "/etc/x"): deletes}
    seen = tables_of("chmod: {path: /etc/x}", "rename: {path: /etc/x}", action="observe")
    assert seen.exact == {(Table.CHANGE, "/etc/x"): observe(Kind.CHMOD) | observe(Kind.RENAME)}
    bits = [bit(kind) for kind in KINDS_OF_CHANGE for bit in (observe, stop)]
    assert bits == [1 << n for n in range(18)]
    bits = [bit(kind) for kind in KINDS_WITHOUT_FILE for bit in (observe, stop)]
    assert bits == [1 << n for n in range(12)]
    assert set(KINDS_OF_CHANGE) | set(KINDS_WITHOUT_FILE) | {
        Kind.EXEC,
        Kind.OPEN,
        Kind.CONNECT,
        Kind.SEND,
    } == set(KINDS_OF_PROCESSES)


def test_a_rule_about_writing_is_in_both_tables() -> None:
    """Opening is looked up in one, making and emptying in the other."""
    found = tables_of("open: {path: /etc/x, mode: write}")
    assert found.exact == {
        (Table.OPEN, "/etc/x"): Want.STOP_WRITE | HOLD,
        (Table.CHANGE, "/etc/x"): stop(Kind.CREATE) | stop(Kind.TRUNCATE) | HOLD,
    }
    assert found.kinds == {Kind.OPEN, Kind.CREATE, Kind.TRUNCATE}


def test_what_has_no_file_has_its_bits_in_a_slot_of_its_own() -> None:
    """Whatever its conditions are, the agent decides by them."""
    found = tables_of("listen: {port: 80}", "identity: {operation: setuid 0}")
    assert found.other == stop(Kind.LISTEN) | stop(Kind.IDENTITY) | HOLD
    assert found.networks == {} and found.anything == {}


def test_what_goes_with_a_stop_is_in_every_table() -> None:
    """Refusal, and what happens while there is no agent; of addresses above all transports."""
    more = "    on_deny: refuse\n    on_no_agent: deny\n"
    extra = Want.REFUSE | Want.NO_AGENT_DENY
    found = tables_of("exec: {path: x}", "bpf: {operation: '*'}", more=more)
    assert found.components == {(Table.EXEC, "x"): Want.STOP_READ | extra}
    assert found.other == stop(Kind.BPF) | extra
    (v4, *_) = tables_of("connect: {transport: tcp, port: 1}", more=more).networks.values()
    assert v4.ports[1] == ByTransport(tcp=Want.STOP_READ | extra)
    assert v4.ports[1].packed == Want.STOP_READ | extra
    both = ByTransport(tcp=Want.STOP_READ, other=Want.STOP_READ | HOLD)
    assert both.packed == Want.STOP_READ | Want.STOP_READ << 8 | HOLD
    allowed = tables_of("exec: {path: x}", more="    on_no_agent: allow\n")
    assert allowed.components == {(Table.EXEC, "x"): Want.STOP_READ}


def test_stop_mode_has_nothing_of_all_that() -> None:
    """Its kernel side reads the tables of before, and its rules have no others' say."""
    mixed = rules(
        "open: {path: /etc/x}",
        "delete: {path: /etc/x}",
        "truncate: {path: /etc/x}",
        "bpf: {operation: '*'}",
        more="    on_deny: refuse\n    on_no_agent: deny\n",
    )
    tables = compile_tables(mixed, HostMode.STOP)
    assert tables.exact == {(Table.OPEN, "/etc/x"): Want.STOP_READ | Want.STOP_WRITE}
    assert tables.kinds == {Kind.OPEN} and not tables.other
    assert [rule.id for rule in in_effect(mixed, HostMode.STOP).rules] == ["r0"]
    assert in_effect(mixed, HostMode.GATE).rules == mixed.rules


def test_what_a_mode_cannot_do_is_said_rule_by_rule() -> None:
    """Where it stands, what has no effect, and what happens instead."""
    mixed = rules(
        "open: {path: /etc/x}",
        "delete: {path: /etc/x}",
        more="    on_deny: refuse\n    on_no_agent: deny\n",
    )
    found = [str(finding) for finding in without_effect(mixed, HostMode.STOP)]
    assert found == [
        "t.yaml:2:5: warning: r0: on_deny: refuse is a kill here: in stop mode a call cannot be "
        "refused",
        "t.yaml:2:5: warning: r0: on_no_agent: deny is hold here: stop mode does not notice that "
        "the agent is gone",
        "t.yaml:9:5: warning: r1: a rule about delete has no effect here: stop mode does not see "
        "it",
    ]
    assert [rule.id for rule in powerless(mixed, HostMode.STOP)] == ["r1"]
    assert without_effect(mixed, HostMode.GATE) == () == powerless(mixed, HostMode.GATE)
    (gone,) = without_effect(mixed, HostMode.GATE, missing={Kind.DELETE})
    assert "this kernel has no hook for it" in gone.message
    assert [one.id for one in powerless(mixed, HostMode.GATE, missing={Kind.DELETE})] == ["r1"]


def test_a_digest_of_rules_changes_only_with_what_they_say() -> None:
    """Rules that say nothing of the later keys have the digest that they always had."""
    plain = rules("open: {path: /etc/x}")
    assert plain.digest == "1eaa101c462eea9a54cf022dd0d666284f3125b60db88efcfb764da66c56d59f"
    for more in ("    on_deny: refuse\n", "    on_no_agent: deny\n"):
        assert rules("open: {path: /etc/x}", more=more).digest != plain.digest
    kinds = {rules(f"{kind}: {{path: /x}}").digest for kind in ("create", "delete", "chmod")}
    assert len(kinds) == 3


def test_the_keys_of_a_stop_are_read() -> None:
    """Left out, a no kills and an absent agent holds."""
    (plain,) = rules("open: {path: /etc/x}").rules
    assert (plain.on_deny, plain.on_no_agent) == (OnDeny.KILL, OnNoAgent.HOLD)
    more = "    on_deny: refuse\n    on_no_agent: allow\n"
    (rule,) = rules("open: {path: /etc/x}", more=more).rules
    assert (rule.on_deny, rule.on_no_agent) == (OnDeny.REFUSE, OnNoAgent.ALLOW)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("rename: /a -> /b", "rename '/a' and '/b' by 'example'"),
        ("chmod: /a 4755", "chmod '/a' ('4755') by"),
        ("trace: attach 12 sshd", "trace process 12 'sshd' ('attach') by"),
        ("identity: setuid 0", "identity ('setuid 0') by"),
        ("module: load", "module ('load') by"),
    ],
)
def test_an_explanation_says_what_the_act_is(act: str, expected: str) -> None:
    """Names, operation and the other process, on one line."""
    assert expected in explain(rules("exec: {path: x}"), parse(act))


def test_an_explanation_names_the_operation_that_was_met() -> None:
    """And why a rule under another name of the same act does not apply."""
    text = explain(rules("chmod: {operation: '4*'}"), parse("chmod: /a 4755"))
    assert "operation '4*' matches '4755'" in text
    text = explain(rules("truncate: {path: /a}"), parse("open: /a write"))
    assert "truncate does not match" in text
    text = explain(rules("open: {path: /a}"), parse("create: /a fifo"))
    assert "create does not match" in text
