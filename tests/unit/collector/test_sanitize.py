"""The sanitiser: nothing hostile gets through, nothing is lost, nothing looks like another."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.sanitize import byte_length, clean, harmless, quote, visible

HOSTILE = "\x00\x07\x1b\r\n\t\x7f\x85\x9b\u00ad\u200b\u200e\u202e\u2028\u2066\ufeff\U000e0041\ud800"
LOOK_ALIKE = "\u0430\u0441\u043e\u0301\u00a0\u3164\u2215\uff41\u05d0\u2024"
TEXTS = st.text(
    st.one_of(
        st.sampled_from(HOSTILE + LOOK_ALIKE + "\\\\ux{}0123ab  '"),
        st.characters(codec=None),
    ),
    max_size=60,
)


def is_hostile(letter: str) -> bool:
    """Say whether Unicode itself calls this a control, format, separator or joining mark."""
    if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"):
        return True
    if unicodedata.bidirectional(letter) in ("R", "AL", "AN"):
        return True
    return letter.isspace() and letter != " "


def escaped_back(text: str) -> str:
    """Undo `visible`: the proof that it loses nothing and that no two texts share a rendering."""
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\\":
            out.append(text[at])
            at += 1
            continue
        kind = text[at + 1]
        width = {"x": 2, "u": 4, "U": 8}.get(kind)
        if width is not None:
            out.append(chr(int(text[at + 2 : at + 2 + width], 16)))
            at += 2 + width
        elif kind == "{":
            end = text.index("}", at)
            out.append(" " * int(text[at + 2 : end].removesuffix(" spaces")))
            at = end + 1
        else:
            out.append({"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[kind])
            at += 2
    return "".join(out)


@given(TEXTS)
def test_no_control_bidi_zero_width_or_format_character_gets_through(text: str) -> None:
    """Whatever a process puts into a field, no channel is given anything but visible characters."""
    assert not [letter for letter in visible(text) if is_hostile(letter)]
    visible(text).encode("utf-8")


@given(TEXTS)
def test_the_rendering_can_be_read_back_so_no_two_texts_look_the_same(text: str) -> None:
    """Escapes are unambiguous: a text that spells an escape is not taken for the character."""
    assert escaped_back(visible(text)) == text


@given(TEXTS, st.integers(1, 80))
def test_what_is_cut_is_counted_to_the_byte(text: str, limit: int) -> None:
    """Start and end are kept, and what is between is named with its exact length."""
    safe = clean(text, limit)
    assert not [letter for letter in safe.text if is_hostile(letter)]
    if safe.hidden_bytes == 0:
        assert escaped_back(safe.text) == text
    else:
        head, rest = safe.text.split(rf"\{{{safe.hidden_bytes} bytes hidden, sha256 ")
        shown = byte_length(escaped_back(head)) + byte_length(escaped_back(rest.split("}", 1)[1]))
        assert shown + safe.hidden_bytes == byte_length(text)


@given(TEXTS)
def test_harmless_leaves_finished_text_alone(text: str) -> None:
    """A renderer that distrusts the API shows exactly what the one renderer made."""
    assert harmless(visible(text)) == visible(text)


@given(TEXTS)
def test_harmless_lets_nothing_hostile_through_either(text: str) -> None:
    """And what somebody else put there does not reach the terminal."""
    assert not [letter for letter in harmless(text) if is_hostile(letter)]


@settings(max_examples=300)
@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=4))
def test_two_argument_lists_never_look_the_same(one: list[str], other: list[str]) -> None:
    """Boundaries between arguments are visible."""
    rendered = [" ".join(quote(visible(argument)) for argument in argv) for argv in (one, other)]
    assert (rendered[0] == rendered[1]) == (one == other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ls -la /tmp", "ls -la /tmp"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb", r"a\nb"),
        ("a\u202eb", r"a\u202eb"),
        (r"a\u202eb", r"a\\u202eb"),
        ("\U000e0041", r"\U000e0041"),
        ("ls" + " " * 200 + "; rm -rf /", r"ls\{200 spaces}; rm -rf /"),
        (r"\{200 spaces}", r"\\{200 spaces}"),
        ("p\u0430ss", r"p\u0430ss"),
        ("\u0441\u043e\u0440\u0443", r"\u0441\u043e\u0440\u0443"),
        ("отчёт.txt", "отчёт.txt"),
        ("café", "café"),
        ("cafe\u0301", r"cafe\u0301"),
        ("日本語abc", "日本語abc"),
        ("\uff52\uff4d", r"\uff52\uff4d"),
        ("rm \u2013rf", r"rm \u2013rf"),
        ("\u05d0", r"\u05d0"),
        ("\u3164", r"\u3164"),
        ("\ud800", r"\ud800"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    """Common texts stay as they are; each known trick becomes visible."""
    assert visible(text) == shown


def test_the_end_of_an_overlong_text_stays_in_sight() -> None:
    """A dangerous tail behind a long harmless text is still shown."""
    safe = clean("echo " + "x" * 100_000 + "; rm -rf /", 200)
    assert safe.text.endswith("; rm -rf /")
    assert len(safe.text) < 300
    assert safe.hidden_bytes > 99_000


def test_two_texts_that_differ_only_where_they_are_cut_look_different() -> None:
    """The mark carries a digest of the whole."""
    one, other = (clean("a" * 500 + middle + "b" * 500, 100).text for middle in ("x", "y"))
    assert one != other


@pytest.mark.parametrize(
    ("shown", "quoted"),
    [
        ("ls", "ls"),
        ("", "''"),
        ("a b", "'a b'"),
        ("it's", r"$'it\'s'"),
        (r"a\nb", r"$'a\nb'"),
        ("$(id)", "'$(id)'"),
        ("*", "'*'"),
    ],
)
def test_arguments_are_quoted_as_a_shell_would_take_them(shown: str, quoted: str) -> None:
    """What is on the card can be pasted."""
    assert quote(shown) == quoted
