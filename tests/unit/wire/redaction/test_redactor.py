"""Acts without their secrets: no byte of one is left, and acts that differ still do."""

import logging
import string
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.acts import Act, Guarantee, Kind, Process, act_digest
from wire.redaction.logs import RedactedLines
from wire.redaction.marks import MARK, count, has_marks
from wire.redaction.redactor import Redactor
from wire.redaction.settings import FORMS, read

KEY = b"k" * 32
REDACTOR = Redactor(key=KEY)
WORDS = string.ascii_letters + string.digits
# Each holds a secret in a way that is known by its form or by its name.
SECRETS = st.text(WORDS, min_size=40, max_size=60).map(lambda text: "ghp" + "_" + text)
PLACES = (
    "executable filename argv cwd environment path second_path address operation comm process "
    "ancestors target"
).split()
AROUND = st.tuples(st.text("ab /=:-'\"", max_size=8), st.text("ab /:-'\"", max_size=8))


def an_act(**changes: Any) -> Act:
    """Return an exec."""
    values: dict[str, Any] = {
        "kind": Kind.EXEC,
        "guarantee": Guarantee.HELD,
        "time_ns": 1,
        "boot_ns": 1,
        "subject": "ai",
        "session": "1-1",
        "process": Process(pid=1, start_ns=1, comm="x", uid=1),
        "tid": 1,
        "gid": 1,
        "executable": "/usr/bin/x",
    }
    return Act(**(values | changes))


def planted(place: str, text: str) -> Act:
    """Return an act with a text in one of its places."""
    other = Process(pid=2, start_ns=2, comm="y", uid=1, argv=("y", text))
    match place:
        case "argv":
            return an_act(argv=("x", text, "z"), argv_bytes=5 + len(text))
        case "environment":
            return an_act(environment={"LD_PRELOAD": text})
        case "ancestors":
            return an_act(ancestors=(other,))
        case "target":
            return an_act(target=other)
        case "process":
            return an_act(process=other)
        case "comm":
            return an_act(process=replace(other, argv=(), comm=text))
        case _:
            return an_act(**{place: text})


@given(place=st.sampled_from(PLACES), secret=SECRETS, around=AROUND)
def test_a_secret_is_in_no_byte_of_an_act(place: str, secret: str, around: tuple[str, str]) -> None:
    """Wherever in it, and whatever is around."""
    act = REDACTOR.act(planted(place, around[0] + secret + around[1]))
    assert secret.encode() not in msgspec.json.encode(act)
    assert has_marks(act)


@given(
    name=st.sampled_from(["password", "DB_PASSWORD", "api-key", "clientSecret", "auth_token"]),
    secret=st.text(WORDS + "!#%+,._~^*", min_size=8, max_size=40).map("Q7{}".format),
    how=st.sampled_from(
        [
            ("x", "--{}={}"),
            ("x", "--{}", "{}"),
            ("env", "{}={}", "x"),
            ("sh", "-c", "{}={} x; y"),
            ("curl", "-d", '{{"{}": "{}"}}'),
            ("x", "{}: {}"),
        ]
    ),
)
def test_the_value_of_a_secret_name_is_in_no_byte(
    name: str, secret: str, how: tuple[str, ...]
) -> None:
    """In whatever way the command takes it."""
    if how[1:] == ("--{}", "{}"):
        argv: tuple[str, ...] = ("x", f"--{name}", secret)
    else:
        argv = tuple(word.format(name, secret) if "{}" in word else word for word in how)
    act = REDACTOR.act(an_act(argv=argv))
    assert secret not in "\0".join(act.argv)


@given(st.lists(SECRETS, min_size=2, max_size=2, unique=True), st.sampled_from(PLACES))
def test_acts_that_differ_in_a_secret_have_different_digests(two: list[str], place: str) -> None:
    """So an approval covers one of them alone; and the same act always has the same."""
    one, other = (act_digest(REDACTOR.act(planted(place, secret))) for secret in two)
    assert one != other
    assert one == act_digest(Redactor(key=KEY).act(planted(place, two[0])))
    assert one != act_digest(Redactor(key=b"x" * 32).act(planted(place, two[0])))


@given(secret=SECRETS)
def test_who_writes_a_mark_is_not_taken_for_us(secret: str) -> None:
    """Else a command with the text of a mark would pass for the command with the secret."""
    real = REDACTOR.act(an_act(argv=("x", secret)))
    forged = REDACTOR.act(an_act(argv=real.argv))
    assert forged.argv != real.argv
    assert "imitation" in forged.argv[1]
    for off in (FORMS, ()):
        assert Redactor(read(off), KEY).act(an_act(argv=real.argv)).argv != real.argv


def test_our_own_words_keep_the_marks_they_quote() -> None:
    """What was taken out once is not taken out again, and what is beside a mark still is."""
    said = REDACTOR.text("password=abc token: def")
    assert MARK.sub("#", said) == "password=# token: #"
    assert REDACTOR.words(said) == said
    beside = REDACTOR.words(said + " and secret=ghi, password=" + MARK.findall(said)[0] + "jkl")
    assert MARK.sub("#", beside) == "password=# token: # and secret=# password=##"
    assert count(beside) == 5


def test_the_length_of_a_secret_is_not_told() -> None:
    """The exact length of the arguments is that of the arguments as they are shown."""
    acts = [
        REDACTOR.act(an_act(argv=("x", f"--password={secret}"), argv_bytes=14 + len(secret)))
        for secret in ("abc", "abcdefghijkl")
    ]
    sizes = {act.argv_bytes for act in acts}
    assert sizes == {sum(len(word.encode()) + 1 for word in acts[0].argv)}
    cut = an_act(argv=("x", "--password=abc"), argv_bytes=1017, argv_cut=True)
    assert REDACTOR.act(cut).argv_bytes - acts[0].argv_bytes == 1000


def test_a_token_whose_end_was_not_read_is_taken_out() -> None:
    """The kernel keeps so much of the arguments; what it cut is too short for its form."""
    act = an_act(argv=("x", "-H", "ghp" + "_" + "abc"), argv_bytes=5000, argv_cut=True)
    assert "abc" not in "".join(REDACTOR.act(act).argv)
    assert REDACTOR.act(replace(act, argv_cut=False)).argv == act.argv


def test_an_act_without_secrets_is_the_same_value() -> None:
    """Nothing is made anew for what nearly every act is."""
    act = an_act(argv=("ls", "-la", "/srv"), environment={"PATH": "/bin"}, path="/srv")
    assert REDACTOR.act(act) is act


def test_settings_say_what_counts() -> None:
    """Forms that are off, further names and patterns, and what is allowed."""
    said = read(
        off=["entropy", "jwt"],
        names=["X-Internal-Auth"],
        patterns={"acme-token": "acme_[a-z]{8}"},
        allow=["example-[a-z]+"],
    )
    made = Redactor(said)
    assert made.text("Zq8vK2mR7tLx4WbN9cYp") == "Zq8vK2mR7tLx4WbN9cYp"
    assert made.text("X_INTERNAL_AUTH=abc") == "X_INTERNAL_AUTH=«redacted:named»"
    assert made.text("an acme_abcdefgh here") == "an «redacted:acme-token» here"
    assert made.text("password=example-abc") == "password=example-abc"
    assert made.text("password=other") == "password=«redacted:password»"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"off": ["nothing"]}, "off: 'nothing' is no form; the forms are aws-key"),
        ({"names": [""]}, "names: one is empty"),
        ({"patterns": {"x": "("}}, "patterns.x: '(' is no regular expression"),
        ({"patterns": {"x": "a*"}}, "patterns.x: 'a*' matches nothing at all"),
        ({"patterns": {"jwt": "a"}}, "patterns: 'jwt' is no name for a form"),
        ({"patterns": {"A b": "a"}}, "patterns: 'A b' is no name for a form"),
        ({"patterns": {"x": "a" * 501}}, "patterns.x: has 501 characters"),
        ({"allow": ["["]}, "allow: '[' is no regular expression"),
        ({"allow": ["a"] * 101}, "more than 100"),
    ],
)
def test_what_is_wrong_is_said(said: dict[str, Any], words: str) -> None:
    """With the key and the remedy."""
    with pytest.raises(ValueError, match=r".") as caught:
        read(**said)
    assert words in str(caught.value)


def test_log_lines_have_no_secrets() -> None:
    """In the message, its arguments and the traceback."""
    lines = RedactedLines(logging.Formatter("%(message)s"), REDACTOR)
    try:
        raise ValueError("it was password=hunter2")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "x", 1, "token=%s", ("abc",), (ValueError, error, None)
        )
    line = lines.format(record)
    assert "hunter2" not in line
    assert "abc" not in line
    assert count(line) == 2


@given(
    place=st.sampled_from(
        ["", "/srv/a-directory-with-a-long-name/", "/srv/password=", "/srv/api/"]
    ),
    before=st.text("ab/=:", max_size=6),
    secret=st.one_of(
        SECRETS,
        st.just("hooks.slack.com" + "/services/T00000000/B00000000/Zq8vK2mR7tLx"),
        st.just("discord.com" + "/api/webhooks/123456789012345678/" + "aB3dE6gH9j" * 6),
        st.just("password=Q7/Q8/Q9"),
    ),
    after=st.text("ab/.", max_size=6),
)
def test_the_quick_look_at_a_path_misses_nothing(
    place: str, before: str, secret: str, after: str
) -> None:
    """Wherever the secret is cut by a slash, the whole path is looked at."""
    path = place + before + secret + after
    assert REDACTOR.act(an_act(path=path)).path == REDACTOR.path(path) != path
