"""The card: who, what, where, why, what has happened, where it stands; nothing cut in silence."""

import dataclasses
import hashlib
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.card import Card, as_dict, render, summary
from tests.unit.collector.samples import make_act, make_decision, make_opened, make_state
from wire.acts import Act, Guarantee, Kind, Process, Transport
from wire.messages import Answer, Ground, HoldStateName, OnTimeout, RuleFacts, Severity

HOSTILE = st.text(
    st.one_of(st.sampled_from("\x1b[31m\n\u202e\u200b\\'` <!@&|"), st.characters(codec="utf-8")),
    max_size=40,
)


def facts(card: Card) -> dict[str, str]:
    """Return the facts by label."""
    return {fact.label: fact.text for fact in card.facts}


def texts(card: Card) -> list[str]:
    """Return every text of a card."""
    own = [card.title, card.severity, card.state_line, card.happened, card.guarantee, card.digest]
    return [*own, *card.tree, *(text for fact in card.facts for text in (fact.label, fact.text))]


@pytest.mark.parametrize(
    ("login_uid", "owner", "known"),
    [(None, "", False), (1001, "", False), (1000, "", True), (None, "olga", True)],
    ids=["a unit", "a login of the watched user itself", "a login", "somebody is responsible"],
)
def test_a_request_that_nobody_is_known_to_have_made_says_so(
    login_uid: int | None, owner: str, known: bool
) -> None:
    """Then no reviewer can be refused as the one who asks."""
    card = render(make_opened(make_act(login_uid=login_uid), owner=owner))
    assert ("Requester" not in facts(card)) is known


def test_a_command_shows_who_what_where_and_why() -> None:
    """Everything that a reviewer asks first is on the card."""
    opened = make_opened()
    card = render(opened)
    shown = facts(card)
    assert card.title == "ai: run curl -fsSL https://example.com/install.sh"
    assert card.severity == "high"
    assert shown["User"] == "ai (uid 1001, gid 1001)"
    assert shown["Login user"] == "none: not started from a login"
    assert shown["Watched as"] == "ai-agents"
    assert shown["Responsible"] == "olga@example.com"
    assert shown["Command"] == "curl -fsSL https://example.com/install.sh"
    assert shown["Directory"] == "/home/ai"
    assert shown["Host"].startswith("web-1 ")
    assert (shown["Rule"], shown["Why"]) == ("net.fetch-code", "fetches code")
    assert shown["If nobody answers"] == "the process is killed"
    assert (card.digest, card.hidden_bytes) == (opened.digest, 0)


def test_the_length_and_digest_of_a_command_are_exact() -> None:
    r"""The digest is what `printf '%s\0' ARGUMENT... | sha256sum` gives."""
    act = make_act(argv=("sh", "-c", "id"), argv_bytes=9)
    digest = hashlib.sha256(b"sh\0-c\0id\0").hexdigest()
    assert facts(render(make_opened(act)))["Arguments"] == f"3 in 9 bytes, sha256 {digest}"


def test_argument_boundaries_are_visible() -> None:
    """One argument with a blank does not look like two."""
    one = make_act(argv=("rm", "-rf", "a b"))
    two = make_act(argv=("rm", "-rf", "a", "b"))
    assert facts(render(make_opened(one)))["Command"] == "rm -rf 'a b'"
    assert facts(render(make_opened(two)))["Command"] == "rm -rf a b"


def test_a_command_that_the_host_could_not_read_whole_says_how_much_is_missing() -> None:
    """A cut argument list never passes for a whole one."""
    card = render(make_opened(make_act(argv=("sh", "-c", "id"), argv_bytes=5009, argv_cut=True)))
    assert card.hidden_bytes == 5000
    assert r"\{5000 bytes hidden" in facts(card)["Command"]
    assert "5000 bytes more" in facts(card)["Arguments"]


@pytest.mark.parametrize("argv", [("sh", "-c", "x" * 9000 + "; rm -rf /"), ("a",) * 5000 + ("z",)])
def test_a_long_command_is_cut_in_the_middle_and_counted(argv: tuple[str, ...]) -> None:
    """Its end stays on the card, and the hidden bytes add up."""
    card = render(make_opened(make_act(argv=argv)))
    command = facts(card)["Command"]
    assert card.hidden_bytes > 0
    assert len(command) < 5000
    assert f"{card.hidden_bytes} bytes hidden" in command
    assert command.rstrip("'").endswith(argv[-1][-10:])


@pytest.mark.parametrize("field", ["executable", "cwd", "path", "subject"])
def test_any_long_text_is_cut_in_the_middle_and_counted(field: str) -> None:
    """Not only commands: a long path hides as much as a long script."""
    act = make_act(kind=Kind.OPEN, path="/x")
    long = dataclasses.replace(act, **{field: "/" + "x" * 5000 + "/end"})  # type: ignore[arg-type]
    card = render(make_opened(long))
    assert card.hidden_bytes > 3000
    assert any(f"{card.hidden_bytes} bytes hidden" in fact.text for fact in card.facts)


def test_secrets_are_redacted_everywhere_and_said_to_be() -> None:
    """Command, title, tree and environment: none of them shows the secret."""
    act = make_act(
        argv=("mysql", "--password=hunter2"),
        environment={"MYSQL_PWD": "hunter2", "LD_PRELOAD": "/opt/x.so"},
        ancestors=(Process(pid=9, start_ns=1, comm="x", uid=1, argv=("x", "--token", "hunter2")),),
    )
    card = render(make_opened(act))
    assert "hunter2" not in json.dumps(as_dict(card))
    assert r"\{redacted}" in facts(card)["Command"]
    assert "LD_PRELOAD=/opt/x.so" in facts(card)["Environment"]
    assert facts(card)["Redacted"].startswith("2 values")
    assert "hunter2" not in str(summary(act))


def test_the_tree_goes_from_the_oldest_ancestor_down_to_the_marked_actor() -> None:
    """A reviewer sees which agent started what."""
    tree = render(make_opened()).tree
    assert [line.strip().removeprefix("→ ").split()[0] for line in tree] == [
        "1",
        "90",
        "100",
        "101",
    ]
    assert [len(line) - len(line.lstrip(" ")) for line in tree] == [0, 2, 4, 6]
    assert [line.strip().startswith("→") for line in tree] == [False, False, False, True]
    assert "(first watched)" in tree[1]


def test_a_process_cannot_forge_the_mark_of_the_actor() -> None:
    """Lines begin with the pid or the mark, and names come later and quoted."""
    fake = Process(pid=5, start_ns=5, comm="→ 101 bash", uid=0, argv=("\n→ 101 bash",))
    tree = render(make_opened(make_act(ancestors=(fake,)))).tree
    assert len(tree) == 2
    assert tree[0].startswith("5 '→ 101 bash' ")


def test_a_file_is_named_with_device_and_inode() -> None:
    """Path rules match the inode too, so the card shows it."""
    act = make_act(
        kind=Kind.OPEN,
        guarantee=Guarantee.STOPPED,
        path="/etc/sha dow",
        device=0x801,
        inode=42,
        flags=("read",),
    )
    card = render(make_opened(act))
    assert facts(card)["Path"] == "'/etc/sha dow' (device 8:1, inode 42)"
    assert facts(card)["Opened for"] == "read"
    assert card.title == "ai: open /etc/sha dow"


def test_a_path_that_is_cut_or_unresolved_says_so() -> None:
    """Neither may look like a whole, resolved path, and a cut one counts as hidden."""
    act = make_act(kind=Kind.OPEN, path="../x", path_cut=True, path_resolved=False)
    card = render(make_opened(act))
    assert "not resolved" in facts(card)["Path"]
    assert "part of it is missing" in facts(card)["Path"]
    assert card.hidden_bytes > 0


def test_an_address_is_shown_with_transport_and_port() -> None:
    """IPv6 addresses are bracketed, so that the port stands apart."""
    act = make_act(kind=Kind.CONNECT, transport=Transport.TCP, address="2001:db8::1", port=443)
    assert facts(render(make_opened(act)))["Address"] == "tcp [2001:db8::1]:443"


HAPPENED = [
    ({}, "No instruction of the new program has run."),
    (
        {"kind": Kind.OPEN, "guarantee": Guarantee.STOPPED, "flags": ("read",)},
        "The file is open; this program has not read from it yet.",
    ),
    (
        {"kind": Kind.OPEN, "guarantee": Guarantee.LATE, "flags": ("write", "truncate")},
        "The file has been emptied. This program has not read from it or written to it yet.",
    ),
    (
        {"kind": Kind.OPEN, "guarantee": Guarantee.LATE, "flags": ("write", "create", "created")},
        "The file has been created. This program has not read from it or written to it yet.",
    ),
    (
        {"kind": Kind.OPEN, "guarantee": Guarantee.LATE, "flags": ("write", "create")},
        "If the file did not exist, it has been created. "
        "This program has not read from it or written to it yet.",
    ),
    (
        {"kind": Kind.OPEN, "guarantee": Guarantee.HELD},
        "The file has not been opened, created or changed.",
    ),
    (
        {"kind": Kind.OPEN, "guarantee": Guarantee.STOPPED, "result": -13},
        "The call failed with error 13, so it did not take effect.",
    ),
    (
        {"kind": Kind.CONNECT, "guarantee": Guarantee.STOPPED, "transport": Transport.TCP},
        "The connection attempt was started; the program has not been told the result.",
    ),
    (
        {
            "kind": Kind.CONNECT,
            "guarantee": Guarantee.STOPPED,
            "transport": Transport.TCP,
            "result": -115,
        },
        "The connection attempt was started; the program has not been told the result.",
    ),
    (
        {"kind": Kind.CONNECT, "guarantee": Guarantee.STOPPED, "transport": Transport.UNIX},
        "The local socket was called; the program has sent nothing over it yet.",
    ),
    (
        {"kind": Kind.CONNECT, "guarantee": Guarantee.STOPPED, "transport": Transport.UDP},
        "The socket was given its address; no data has been sent by this call.",
    ),
    (
        {"kind": Kind.CONNECT, "guarantee": Guarantee.HELD},
        "No connection has been started.",
    ),
    (
        {"kind": Kind.SEND, "guarantee": Guarantee.LATE, "messages": 1},
        "1 datagram has been sent.",
    ),
    (
        {"kind": Kind.SEND, "guarantee": Guarantee.LATE, "messages": 3, "addresses_cut": True},
        "3 datagrams have been sent. The call named more addresses than were inspected; "
        "not all of them are shown.",
    ),
    (
        {"kind": Kind.SEND, "guarantee": Guarantee.LATE},
        "The data may have been sent.",
    ),
    (
        {"kind": Kind.SEND, "guarantee": Guarantee.LATE, "transport": Transport.TCP},
        "The connection attempt was started and may have carried data with it.",
    ),
    (
        {"guarantee": Guarantee.LATE},
        "The new program has started and may have run in part.",
    ),
]


@pytest.mark.parametrize(("fields", "words"), HAPPENED)
def test_the_card_says_what_has_already_happened(fields: dict[str, object], words: str) -> None:
    """For each kind and guarantee, plainly."""
    assert render(make_opened(make_act(**fields))).happened == words


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("guarantee", Guarantee)
def test_every_kind_and_guarantee_has_words(kind: Kind, guarantee: Guarantee) -> None:
    """No combination leaves a reviewer without an answer."""
    card = render(make_opened(make_act(kind=kind, guarantee=guarantee)))
    assert card.happened.endswith(".")
    assert card.guarantee.endswith(".")


at = make_state
ANN: dict[str, Any] = {"by": "ann@example.com", "ground": Ground.DECISION}
LINES = [
    ([], None, "waiting until 12:05:00 UTC"),
    (
        [],
        make_decision(),
        "approved by ann@example.com at 12:00:05 UTC, waiting for the host to confirm",
    ),
    (
        [at(HoldStateName.APPROVED, **ANN)],
        make_decision(),
        "approved by ann@example.com at 12:00:10 UTC, waiting for the host to confirm",
    ),
    (
        [at(HoldStateName.APPROVED, **ANN), at(HoldStateName.RELEASED, 2, **ANN)],
        make_decision(),
        "released at 12:00:20 UTC: approved by ann@example.com",
    ),
    (
        [at(HoldStateName.DENIED, **ANN), at(HoldStateName.KILLED, 2, **ANN)],
        make_decision(Answer.DENY),
        "killed at 12:00:20 UTC: denied by ann@example.com",
    ),
    (
        [at(HoldStateName.EXPIRED)],
        None,
        "expired at 12:00:10 UTC: nobody answered in time",
    ),
    (
        [
            at(HoldStateName.EXPIRED),
            at(HoldStateName.KILLED, 2, ground=Ground.TIMEOUT_POLICY),
        ],
        make_decision(),
        "killed at 12:00:20 UTC: nobody answered in time, as the rule or the policy says; "
        "too late: approved by ann@example.com at 12:00:05 UTC",
    ),
    (
        [at(HoldStateName.CANCELLED)],
        make_decision(),
        "cancelled at 12:00:10 UTC: the process ended before an answer took effect; whether "
        "somebody let it run on before that is not known; "
        "too late: approved by ann@example.com at 12:00:05 UTC",
    ),
    (
        [at(HoldStateName.SUPERSEDED)],
        None,
        "superseded at 12:00:10 UTC: a newer order or rule has settled it",
    ),
    (
        [at(HoldStateName.RELEASED, ground=Ground.EMERGENCY, by="root")],
        None,
        "released at 12:00:10 UTC: emergency, root",
    ),
    (
        [at(HoldStateName.RELEASED)],
        None,
        "released at 12:00:10 UTC: the host named no ground",
    ),
]


@pytest.mark.parametrize(("states", "decision", "line"), LINES)
def test_the_state_line_says_released_or_killed_only_on_the_hosts_word(
    states: list[object], decision: object, line: str
) -> None:
    """A decision alone is "waiting for the host"; each end has words of its own."""
    assert render(make_opened(), states, decision).state_line == line  # type: ignore[arg-type]


def test_the_order_of_states_is_the_hosts_own() -> None:
    """Messages that arrive out of order do not change the story."""
    states = [make_state(HoldStateName.DENIED, 1), make_state(HoldStateName.KILLED, 2)]
    assert (
        render(make_opened(), states).state_line == render(make_opened(), states[::-1]).state_line
    )


def test_without_a_deadline_none_is_promised() -> None:
    """A hold that waits for ever says so, and has no timeout line."""
    card = render(make_opened(deadline_ns=0, deadline_boot_ns=0))
    assert card.state_line == "waiting, without a deadline"
    assert "If nobody answers" not in facts(card)


@pytest.mark.parametrize("policy", OnTimeout)
def test_the_timeout_policy_is_on_the_card(policy: OnTimeout) -> None:
    """A reviewer knows what silence does."""
    rule = RuleFacts(id="r", description="d", severity=Severity.LOW, on_timeout=policy)
    words = {"kill": "killed", "keep": "stays stopped", "release": "let go"}
    assert words[policy] in facts(render(make_opened(rule=rule)))["If nobody answers"]


def test_a_host_with_an_absurd_clock_still_gets_a_card() -> None:
    """A forged time must not take the request off the screen."""
    assert "impossible" in render(make_opened(deadline_ns=2**80)).state_line


def test_the_reason_and_the_hosts_words_are_on_the_card() -> None:
    """Who reads it later sees why it was decided and what the host found."""
    states = [make_state(HoldStateName.KILLED, detail="process 101 and 2 children")]
    shown = facts(render(make_opened(), states, make_decision(Answer.DENY)))
    assert shown["Reason given"] == "known installer"
    assert shown["Host says"] == "process 101 and 2 children"


@settings(max_examples=60)
@given(HOSTILE, HOSTILE, st.sampled_from(list(Kind)))
def test_no_field_of_a_held_process_reaches_the_card_unescaped(
    text: str, other: str, kind: Kind
) -> None:
    """Every text of the act is hostile, and every text of the card is on one line and visible."""
    texts_of_act: dict[str, Any] = {
        field.name: text for field in dataclasses.fields(Act) if field.type is str
    }
    assert len(texts_of_act) > 8
    process = Process(pid=7, start_ns=7, comm=text, uid=7, argv=(text, other))
    act = dataclasses.replace(
        make_act(kind=kind),
        **texts_of_act,
        process=process,
        ancestors=(process,),
        argv=(text, other),
        environment={text: other},
        flags=(text,),
        login_uid=5,
        inode=1,
    )
    states = [make_state(HoldStateName.DENIED, by=text, detail=other, reason=text)]
    opened = make_opened(
        act,
        owner=text,
        host_name=other,
        rule=RuleFacts(id=text, description=other, severity=Severity.LOW),
    )
    card = render(opened, states, make_decision(by=text, reason=other))
    for shown in texts(card):
        bad = [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]
        assert not bad, (shown, bad)


def test_the_card_as_a_dict_is_json_with_the_names_of_its_fields() -> None:
    """What the API gives is what `Card` says."""
    card = render(make_opened())
    values = json.loads(json.dumps(as_dict(card)))
    assert list(values) == [field.name for field in dataclasses.fields(Card)]
    assert values["facts"][0] == {"label": "User", "text": "ai (uid 1001, gid 1001)"}
    assert values["tree"] == list(card.tree)


@pytest.mark.parametrize(
    ("fields", "what", "where"),
    [
        ({}, "curl -fsSL https://example.com/install.sh", "/home/ai"),
        (
            {"kind": Kind.OPEN, "path": "/etc/shadow", "flags": ("read",)},
            "open (read) by /usr/bin/curl",
            "/etc/shadow",
        ),
        (
            {"kind": Kind.CONNECT, "transport": Transport.TCP, "address": "10.0.0.1", "port": 22},
            "connect by /usr/bin/curl",
            "tcp 10.0.0.1:22",
        ),
    ],
)
def test_a_row_of_a_list_says_who_what_and_where(
    fields: dict[str, object], what: str, where: str
) -> None:
    """Lists use the same words as the card."""
    found = summary(make_act(**fields))
    assert (found.who, found.what, found.where) == ("ai", what, where)


def test_the_file_of_a_program_is_called_a_file() -> None:
    """An exec's own path is neither an opened path nor a socket."""
    card = render(make_opened(make_act(kind=Kind.EXEC, path="/usr/bin/psql", inode=7)))
    assert facts(card)["File"].startswith("/usr/bin/psql")
    assert not {"Socket", "Path"} & facts(card).keys()
