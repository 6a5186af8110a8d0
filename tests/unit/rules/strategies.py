"""Random rules and random acts, made of few words so that they meet often."""

import dataclasses
import ipaddress
from typing import Any

from hypothesis import strategies as st

from rules.addresses import Networks, Ports, unmapped
from rules.globs import PathGlobs, TextGlobs
from rules.model import (
    Action,
    ChangeMatch,
    ConnectMatch,
    ExecMatch,
    ListenMatch,
    Match,
    Mode,
    OpenMatch,
    PowerMatch,
    Rule,
    RuleSet,
)
from wire.acts import (
    KINDS_OF_CHANGE,
    KINDS_WITHOUT_FILE,
    Act,
    Guarantee,
    Kind,
    Process,
    Transport,
)
from wire.messages import OnDeny, OnNoAgent, Severity

LONG = "a-name-that-is-longer-than-thirty-one-bytes"
WORDS = ["home", "etc", "opt", "usr", "bin", "tools", "a", "b", ".ssh", "id.pem", "x.sock", LONG]
NAMES = st.sampled_from([*WORDS, "ünïcödé-and-much-longer-than-that", "b\\xff"])
GLOB_NAMES = st.one_of(
    NAMES, st.sampled_from(["*", "?", "*.pem", "*.sock", "i*", "[ab]", "[!a]", "*-bytes", "**"])
)

PATHS = st.lists(NAMES, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))
# As a caller may write it: relative, doubled slashes, detours, abstract.
SPELLED = st.one_of(
    PATHS,
    st.lists(st.one_of(NAMES, st.sampled_from(["", ".", ".."])), min_size=1, max_size=6).map(
        "/".join
    ),
    st.builds("@{}".format, PATHS),
    st.just(""),
)
CWDS = st.one_of(st.just(""), PATHS)
PATTERNS = st.one_of(
    st.lists(GLOB_NAMES, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts)),
    st.lists(GLOB_NAMES, min_size=1, max_size=4).map(lambda parts: "**/" + "/".join(parts)),
    st.lists(GLOB_NAMES, min_size=1, max_size=3).map(lambda parts: "@/" + "/".join(parts)),
    GLOB_NAMES,
    st.sampled_from(["**", "memfd:*", "@*"]),
)
PATH_GLOBS = st.lists(PATTERNS, min_size=1, max_size=3).map(lambda p: PathGlobs(tuple(p)))
ARGUMENTS = st.lists(st.sampled_from(["a", "b", "-c", "install", ""]), max_size=4)
TEXT_PATTERNS = ["*", "a*", "* install*", "install", "-?", "*b", "a b", "[ab]"]
TEXT_GLOBS = st.lists(st.sampled_from(TEXT_PATTERNS), min_size=1, max_size=2).map(
    lambda p: TextGlobs(tuple(p))
)

ADDRESSES = st.sampled_from(
    [
        "10.0.0.1",
        "10.1.2.3",
        "127.0.0.1",
        "192.0.2.7",
        "::1",
        "fd00:ec2::254",
        "2001:db8::5",
        "::ffff:10.0.0.1",
        "::ffff:192.0.2.7",
    ]
)
NETWORKS = st.lists(
    st.sampled_from(
        [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.0/24",
            "10.0.0.1/32",
            "127.0.0.0/8",
            "192.0.2.0/24",
            "::/0",
            "::1/128",
            "fd00::/8",
            "2001:db8::/32",
            "::ffff:10.0.0.0/104",
        ]
    ),
    min_size=1,
    max_size=3,
).map(lambda texts: Networks(tuple(unmapped(_network(text)) for text in texts)))
PORTS = st.lists(
    st.sampled_from([(0, 0), (53, 53), (80, 80), (79, 81), (1, 65_535), (1024, 65_535)]),
    min_size=1,
    max_size=2,
).map(lambda ranges: Ports(tuple(ranges)))
PORT = st.sampled_from([0, 53, 79, 80, 81, 443, 5432])
TRANSPORTS = st.frozensets(st.sampled_from([*Transport]), min_size=1)
OPERATIONS = st.sampled_from(
    [
        "",
        "file",
        "directory",
        "to 0 bytes",
        "0644",
        "4755",
        "0:0",
        "bind",
        "bind ro",
        "tmpfs nosuid",
    ]
)
OPERATION_GLOBS = st.lists(
    st.sampled_from(["file", "to *", "[2467]???", "*:0", "bind*", "*"]), min_size=1, max_size=2
).map(lambda p: TextGlobs(tuple(p)))
FLAGS = st.frozensets(st.sampled_from(["read", "write", "create", "truncate"])).map(tuple)


def _network(text: str) -> Any:
    return ipaddress.ip_network(text)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def _exec_matches(depth: int) -> st.SearchStrategy[ExecMatch]:
    return st.builds(
        ExecMatch,
        path=_maybe(PATH_GLOBS),
        argv=_maybe(TEXT_GLOBS),
        arg=_maybe(TEXT_GLOBS),
        cwd=_maybe(PATH_GLOBS),
        negated=_maybe(_exec_matches(0)) if depth else st.none(),
    )


def _open_matches(depth: int) -> st.SearchStrategy[OpenMatch]:
    return st.builds(
        OpenMatch,
        path=_maybe(PATH_GLOBS),
        mode=_maybe(st.frozensets(st.sampled_from([*Mode]), min_size=1)),
        negated=_maybe(_open_matches(0)) if depth else st.none(),
    )


def _connect_matches(depth: int) -> st.SearchStrategy[ConnectMatch]:
    negated = _maybe(_connect_matches(0)) if depth else st.none()
    return st.one_of(
        st.builds(
            ConnectMatch,
            address=_maybe(NETWORKS),
            port=_maybe(PORTS),
            transport=_maybe(TRANSPORTS),
            negated=negated,
        ),
        st.builds(ConnectMatch, path=PATH_GLOBS, negated=negated),
    )


def _change_matches(depth: int, kind: Kind) -> st.SearchStrategy[ChangeMatch]:
    return st.builds(
        ChangeMatch,
        kind=st.just(kind),
        path=_maybe(PATH_GLOBS),
        operation=_maybe(OPERATION_GLOBS),
        negated=_maybe(_change_matches(0, kind)) if depth else st.none(),
    )


def _power_matches(depth: int, kind: Kind) -> st.SearchStrategy[PowerMatch]:
    return st.builds(
        PowerMatch,
        kind=st.just(kind),
        path=_maybe(PATH_GLOBS) if kind is Kind.MODULE else st.none(),
        operation=_maybe(OPERATION_GLOBS),
        negated=_maybe(_power_matches(0, kind)) if depth else st.none(),
    )


def _listen_matches(depth: int) -> st.SearchStrategy[ListenMatch]:
    return st.builds(
        ListenMatch,
        address=_maybe(NETWORKS),
        port=_maybe(PORTS),
        transport=_maybe(TRANSPORTS),
        negated=_maybe(_listen_matches(0)) if depth else st.none(),
    )


POWERS = st.sampled_from([kind for kind in KINDS_WITHOUT_FILE if kind is not Kind.LISTEN])
CHANGES = st.sampled_from(KINDS_OF_CHANGE)
MATCHES: st.SearchStrategy[Match] = st.one_of(
    _exec_matches(1),
    _open_matches(1),
    _connect_matches(1),
    CHANGES.flatmap(lambda kind: _change_matches(1, kind)),
    POWERS.flatmap(lambda kind: _power_matches(1, kind)),
    _listen_matches(1),
)
BARE_RULES = st.builds(
    Rule,
    id=st.just(""),
    description=st.just("random"),
    severity=st.sampled_from([*Severity]),
    action=st.sampled_from([*Action]),
    match=MATCHES,
    subjects=st.sampled_from([frozenset(), frozenset({"ai"}), frozenset({"other"})]),
    on_deny=st.sampled_from([*OnDeny]),
    on_no_agent=st.sampled_from([*OnNoAgent]),
)


def _numbered(rules: list[Rule]) -> RuleSet:
    return RuleSet(tuple(dataclasses.replace(r, id=f"r{n}") for n, r in enumerate(rules)))


RULE_SETS = st.lists(BARE_RULES, min_size=1, max_size=6).map(_numbered)


def _acts(kind: Kind, **where: st.SearchStrategy[Any]) -> st.SearchStrategy[Act]:
    return st.builds(
        Act,
        kind=st.just(kind),
        guarantee=st.just(Guarantee.STOPPED),
        time_ns=st.just(0),
        boot_ns=st.just(0),
        subject=st.just("ai"),
        session=st.just("1-1"),
        process=st.just(Process(pid=1, start_ns=1, comm="x", uid=1)),
        tid=st.just(1),
        cwd=CWDS,
        **{"executable": st.one_of(PATHS, st.just("memfd:x")), **where},
    )


EXECS = _acts(
    Kind.EXEC,
    filename=SPELLED,
    argv=ARGUMENTS.map(tuple),
    argv_cut=st.booleans(),
    path_cut=st.booleans(),
)
OPENS = _acts(
    Kind.OPEN, path=PATHS, flags=FLAGS, path_cut=st.booleans(), path_resolved=st.booleans()
)
SOCKETS = st.sampled_from([Kind.CONNECT, Kind.SEND]).flatmap(
    lambda kind: st.one_of(
        _acts(
            kind,
            transport=st.sampled_from([*(set(Transport) - {Transport.UNIX})]),
            address=ADDRESSES,
            port=PORT,
            addresses_cut=st.booleans(),
        ),
        _acts(
            kind,
            transport=st.just(Transport.UNIX),
            path=SPELLED,
            path_cut=st.booleans(),
            path_resolved=st.booleans(),
            addresses_cut=st.booleans(),
        ),
    )
)


def changes_of(kind: Kind) -> st.SearchStrategy[Act]:
    """Return changes of files of one kind."""
    return _acts(
        kind,
        path=PATHS,
        # What a link says and what is mounted is as the caller wrote it.
        second_path=SPELLED if kind in (Kind.SYMLINK, Kind.MOUNT) else PATHS,
        path_cut=st.booleans(),
        second_path_cut=st.booleans(),
        path_resolved=st.booleans(),
        operation=OPERATIONS,
    )


def powers_of(kind: Kind) -> st.SearchStrategy[Act]:
    """Return acts of one kind that have no file."""
    return _acts(
        kind, path=st.one_of(PATHS, st.just("")), operation=OPERATIONS, path_resolved=st.booleans()
    )


LISTENS = _acts(
    Kind.LISTEN,
    transport=st.sampled_from([Transport.TCP, Transport.OTHER]),
    address=ADDRESSES,
    port=PORT,
)
OF_KIND: dict[Kind, st.SearchStrategy[Act]] = {
    Kind.EXEC: EXECS,
    Kind.OPEN: OPENS,
    Kind.CONNECT: SOCKETS,
    Kind.SEND: SOCKETS,
    Kind.LISTEN: LISTENS,
    **{kind: changes_of(kind) for kind in KINDS_OF_CHANGE},
    **{kind: powers_of(kind) for kind in KINDS_WITHOUT_FILE if kind is not Kind.LISTEN},
}
ACTS: st.SearchStrategy[Act] = st.one_of(
    EXECS, OPENS, SOCKETS, LISTENS, CHANGES.flatmap(changes_of), POWERS.flatmap(powers_of)
)
