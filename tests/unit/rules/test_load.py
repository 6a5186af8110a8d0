"""Rule files are read whole or not at all, and every problem names its place and its remedy."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.errors import RuleErrors
from rules.load import PACKS, load, load_texts
from rules.model import Action, Mode, OpenMatch, RuleSet
from wire.messages import KillScope, OnTimeout, Severity

GOOD = """\
rules:
  - id: test.one
    description: >
      Reads a
      secret.
    severity: high
    match:
      open:
        path: "**/.env"
        mode: read
        not: {path: [/srv/x/**]}
    subjects: ai-worker
    action: ask
    timeout: 2h
    on_timeout: keep
    kill: tree
    reason: waived
"""


def _one(text: str) -> RuleSet:
    return load_texts([("t.yaml", text.encode())])


def _problems(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(RuleErrors) as raised:
        load_texts([("t.yaml", data)])
    return str(raised.value).splitlines()


def _rule(**changes: str) -> str:
    keys = {
        "id": "test.one",
        "description": "A test.",
        "severity": "low",
        "match": "{open: {path: /etc/shadow}}",
        "action": "ask",
    }
    keys |= changes
    lines = [f"    {name}: {value}" for name, value in keys.items() if value]
    return "rules:\n  -\n" + "\n".join(lines) + "\n"


def test_a_rule_is_read_as_it_is_written() -> None:
    """Every key reaches the model, scalars stand for lists, and text is put on one line."""
    (rule,) = _one(GOOD).rules
    assert (rule.id, rule.description, rule.severity) == (
        "test.one",
        "Reads a secret.",
        Severity.HIGH,
    )
    assert isinstance(rule.match, OpenMatch)
    assert rule.match.path and rule.match.path.patterns == ("**/.env",)
    assert rule.match.mode == frozenset({Mode.READ})
    assert rule.match.negated and rule.match.negated.path
    assert rule.subjects == {"ai-worker"}
    assert (rule.action, rule.timeout_s) == (Action.ASK, 7200)
    assert (rule.on_timeout, rule.kill) == (OnTimeout.KEEP, KillScope.TREE)
    assert not rule.reason_required
    assert rule.place == "t.yaml:2:5"


def test_what_is_left_out_fails_closed() -> None:
    """Without a word, an ask waits ten minutes, kills, and wants a reason."""
    (rule,) = _one(_rule()).rules
    assert (rule.timeout_s, rule.on_timeout, rule.reason_required) == (600, OnTimeout.KILL, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_rule(severity="hihg"), "t.yaml:5:15: severity cannot be 'hihg'; did you mean 'high'?"),
        (_rule(action="askk"), "t.yaml:7:13: action cannot be 'askk'; did you mean 'ask'?"),
        (_rule(id=""), "t.yaml:3:5: the rule has no id; add `id:`"),
        (_rule(timeout="0s"), "t.yaml:8:14: timeout of 0s is out of range; write a number"),
        (_rule(timeout="soon"), "t.yaml:8:14: timeout cannot be 'soon'; write a number"),
        (_rule(timeuot="5m"), "t.yaml:8:5: the rule has no key 'timeuot'; did you mean 'timeout'?"),
        (_rule(action="deny", timeout="5m"), "t.yaml:8:14: timeout has no effect with action deny"),
        (_rule(action="allow", kill="tree"), "t.yaml:8:11: kill has no effect with action allow"),
        (_rule(reason="no"), "t.yaml:8:13: reason cannot be 'no'; use required or waived"),
        (_rule(id="Big.Id"), "t.yaml:3:9: id 'Big.Id' is not an id; write at most 128 of a-z"),
        (_rule(match="{}"), "t.yaml:6:12: match has 0 kinds of act; give it exactly one of exec"),
        (_rule(match="{open: {}}"), "t.yaml:6:19: open has no condition; give it path, mode, not"),
        (
            _rule(match="{open: {path: /etc/x}, exec: {path: x}}"),
            "t.yaml:6:12: match has 2 kinds of act",
        ),
        (
            _rule(match="{open: {paht: /etc/x}}"),
            "t.yaml:6:20: open has no key 'paht'; did you mean 'path'?",
        ),
        (
            _rule(match="{open: {path: /x, not: {not: {path: /y}}}}"),
            "open.not has no key 'not'; use one of path, mode",
        ),
        (_rule(match="{open: {path: etc/x}}"), "'etc/x' is relative; write /etc/x or **/etc/x"),
        (_rule(match="{open: {path: ~/x}}"), "needs a home or a variable"),
        (_rule(match="{open: {path: /x/}}"), "ends with a slash, and no path does"),
        (_rule(match="{open: {path: /x/../y}}"), "has an empty, `.` or `..` component"),
        (_rule(match="{open: {path: '/x**y'}}"), "has `**` inside a component"),
        (_rule(match="{open: {path: '/x[ab'}}"), "has a `[` that is not closed"),
        (_rule(match="{open: {path: '/x[z-a]'}}"), "[z-a] is not a class"),
        (_rule(match="{open: {path: '/x[a/b]'}}"), "has a slash in [a/b]"),
        (_rule(match="{open: {path: ''}}"), "open.path is empty"),
        (_rule(match="{open: {path: []}}"), "open.path is an empty list"),
        (_rule(match="{connect: {address: 10.0.0.1/8}}"), "write 10.0.0.0/8 or drop the length"),
        (_rule(match="{connect: {address: example.org}}"), "the kernel sees no names"),
        (_rule(match="{connect: {port: 70000}}"), "connect.port cannot be '70000'"),
        (_rule(match="{connect: {port: 90-80}}"), "connect.port cannot be '90-80'"),
        (_rule(match="{connect: {transport: sctp}}"), "connect.transport cannot be 'sctp'"),
        (_rule(match="{connect: {transport: other}}"), "use tcp, udp, unix or raw"),
        (_rule(match="{connect: {port: 80, path: /x}}"), "no socket has both"),
        (_rule(match="{connect: {transport: unix, port: 80}}"), "a unix socket has no port"),
        (_rule(match="{connect: {transport: tcp, path: /x}}"), "only a unix socket has a path"),
        (_rule(match="{delet: {path: /x}}"), "match has no key 'delet'; did you mean 'delete'?"),
        (_rule(match="{delete: {}}"), "delete has no condition; give it path, operation, not"),
        (_rule(match="{rename: {operation: x}}"), "rename has no key 'operation'"),
        (_rule(match="{trace: {path: /x}}"), "trace has no key 'path'"),
        (_rule(match="{bpf: {not: {not: {operation: x}}}}"), "bpf.not has no key 'not'"),
        (_rule(match="{listen: {port: 80, path: /x}}"), "listen has both port and path"),
        (_rule(match="{listen: {address: all}}"), "listen.address: 'all' does not appear"),
        (_rule(on_deny="refus"), "on_deny cannot be 'refus'; did you mean 'refuse'?"),
        (_rule(on_no_agent="keep"), "on_no_agent cannot be 'keep'; use one of hold, deny, allow"),
        (_rule(action="observe", on_deny="refuse"), "on_deny has no effect with action observe"),
        (_rule(action="allow", on_no_agent="deny"), "on_no_agent has no effect with action allow"),
        (_rule(on_deny="refuse", kill="tree"), "kill has no effect with on_deny refuse"),
        (_rule(examples="{match: 'chmod: /x'}"), "does not say to what; write chmod: /srv/shell"),
        (_rule(examples="{match: 'rename: /x'}"), "a rename has two names; write rename: /a -> /b"),
        (_rule(examples="{match: 'mount: /x ->'}"), "a mount has two names; write mount: /etc ->"),
        (
            _rule(examples="{match: 'trace: attach'}"),
            "the trace does not say what is done to which",
        ),
        (_rule(examples="{match: 'module: unload x'}"), "'unload x' loads no module; write"),
        (_rule(examples="{match: 'delete:'}"), "says nothing after the colon; write exec:"),
        (_rule(examples="{match: 'open /x'}"), "'open /x' is not an act; write exec:, open:"),
        (_rule(examples="{match: 'connect: 10.0.0.1'}"), "'10.0.0.1' has no port"),
        (_rule(examples="{match: 'open: /a b'}"), "'b' is not a way to open a file; quote a path"),
        (_rule(examples="{macht: 'open: /a'}"), "no key 'macht'; did you mean 'match'?"),
        ("rule: []\n", "t.yaml:1:1: the file has no key 'rule'; did you mean 'rules'?"),
        ("rules: []\n", "t.yaml:1:8: rules is not a list of rules"),
        ("rules: {a: b}\n", "t.yaml:1:8: rules is not a list of rules"),
        ("- a\n", "t.yaml:1:1: the file is not a mapping; give it keys: rules"),
        ("", "t.yaml:1:1: the file is empty; write `rules:` and a list of rules"),
        ("# nothing\n---\n", "t.yaml:1:1: the file is empty"),
        (b"rules:\n  - id: \xff\n", "t.yaml:2:9: byte 0xff is not UTF-8; save it as UTF-8"),
        ("rules:\n  - id: a\x07b\n", "t.yaml:2:10: the control character U+0007 is in the file"),
        ("rules: [\n", "t.yaml:2:1: not YAML"),
        ("rules:\n\t- id: x\n", "t.yaml:2:1: a tab is used to indent; indent with spaces"),
        ("rules:\n  - **/.env\n", 'and is not quoted; write "**/.env"'),
        ("rules: &a [*a]\n", "t.yaml:1:8: an anchor (&name) is set"),
        ("rules: !!python/object:os.system []\n", "t.yaml:1:8: the tag"),
        ("rules: []\n---\nrules: []\n", "t.yaml:2:1: a second document begins"),
        ("rules: 1\nrules: 2\n", "t.yaml:2:1: the key 'rules' stands twice (first in line 1)"),
        ("[" * 100_000, "lists nest deeper than 16"),
        (b" " * ((1 << 20) + 1), "t.yaml: the file is larger than 1 MiB; split it"),
    ],
)
def test_a_problem_is_named_by_place_and_remedy(text: str | bytes, expected: str) -> None:
    """Whoever broke a file reads one clear line that says where, what and what to do."""
    problems = _problems(text)
    assert any(expected in line for line in problems), problems
    assert all(line.startswith("t.yaml") and "; " in line for line in problems)


def test_an_aliases_bomb_is_refused_before_it_grows() -> None:
    """Nine levels of nine aliases would be 387 million nodes; not one is expanded."""
    lines = ["a0: &a0 x"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    problems = _problems("\n".join(lines))
    assert len(problems) == 10 + 9 * 9


def test_all_problems_of_all_files_are_reported_at_once() -> None:
    """Who mends a file need not load it once for each mistake."""
    with pytest.raises(RuleErrors) as raised:
        load_texts(
            [
                ("b.yaml", _rule(severity="x", action="y", timeout="z").encode()),
                ("a.yaml", b"rules: [\n"),
                ("c.yaml", b""),
            ]
        )
    places = [str(problem.place) for problem in raised.value.problems]
    assert places == ["a.yaml:2:1", "b.yaml:5:15", "b.yaml:7:13", "b.yaml:8:14", "c.yaml:1:1"]


def test_an_id_is_unique_over_all_files() -> None:
    """The trail names rules by id, so two rules must not share one."""
    with pytest.raises(RuleErrors, match=r"b\.yaml:3:5: the id 'test.one' is taken by a\.yaml:3:5"):
        load_texts([("a.yaml", _rule().encode()), ("b.yaml", _rule().encode())])


def test_a_directory_is_read_without_what_is_not_a_rule_file(tmp_path: Path) -> None:
    """Only *.yaml counts, in order of name, and sub-directories are not searched."""
    (tmp_path / "b.yaml").write_text(_rule(id="b"), encoding="utf-8")
    (tmp_path / "a.yaml").write_text(_rule(id="a"), encoding="utf-8")
    (tmp_path / "README").write_text("not a rule", encoding="utf-8")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.yaml").write_text("broken: [", encoding="utf-8")
    assert [rule.id for rule in load([tmp_path]).rules] == ["a", "b"]


def test_a_file_that_would_be_passed_over_is_an_error(tmp_path: Path) -> None:
    """A rule file in silence protects nothing: wrong suffix, nothing there, not a file."""
    (tmp_path / "a.yml").write_text(_rule(), encoding="utf-8")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(RuleErrors) as raised:
        load([tmp_path, tmp_path / "missing.yaml"])
    text = str(raised.value)
    assert "a.yml: only *.yaml is read; rename it to .yaml" in text
    assert "pipe.yaml: cannot be read (it is not a regular file)" in text
    assert "missing.yaml: cannot be read (No such file or directory)" in text
    with pytest.raises(RuleErrors, match="no rule file is named"):
        load([])


def test_the_digest_is_of_the_meaning_not_of_the_place() -> None:
    """Order, files, comments and examples do not change it; a different rule does."""
    one, two = _rule(id="a"), _rule(id="b", severity="high")
    joined = one + two.removeprefix("rules:\n")
    apart = load_texts([("x.yaml", two.encode()), ("y.yaml", f"# words\n{one}".encode())])
    assert _one(joined).digest == apart.digest
    assert _one(_rule(examples="{match: 'open: /etc/shadow'}")).digest == _one(_rule()).digest
    for change in (
        {"kill": "tree"},
        {"timeout": "5m"},
        {"match": "{open: {path: /etc/shadow, mode: read}}"},
        {"match": "{exec: {path: /etc/shadow}}"},
        {"description": "Other."},
        {"subjects": "x"},
    ):
        assert _one(_rule(**change)).digest != _one(_rule()).digest


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_bytes_break_the_loader(data: bytes) -> None:
    """Whatever is in the file, the answer is rules or RuleErrors."""
    try:
        load_texts([("t.yaml", data)])
    except RuleErrors as errors:
        assert errors.problems


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_pack_still_gives_rules_or_problems(data: st.DataObject) -> None:
    """A file cut or overwritten at any place is reported, not half loaded."""
    raw = (PACKS / "sockets.yaml").read_bytes()
    at = data.draw(st.integers(0, len(raw)))
    damage = data.draw(
        st.sampled_from([b"", b"\0", b"[", b"}", b": ", b"\xc3", b"\t", b"&a", b"*"])
    )
    try:
        load_texts([("t.yaml", raw[:at] + damage + raw[at + len(damage) :])])
    except RuleErrors as errors:
        assert all(problem.place.line for problem in errors.problems)
