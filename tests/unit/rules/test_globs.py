"""Globs mean what docs/rules.md says, and no act can make them slow."""

import fnmatch
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.errors import GlobError
from rules.globs import Component, OneOf, PathGlobs, TextGlobs, Wild, parse_path
from tests.unit.rules.strategies import PATHS, PATTERNS, SPELLED


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("/etc/shadow", ["/etc/shadow"], ["/etc/shadow2", "/x/etc/shadow", "etc/shadow"]),
        ("/home/*/x", ["/home/bob/x"], ["/home/ai", "/home/ai/b/x", "/home//x"]),
        ("/a/*", ["/a/b", "/a/.b"], ["/a/", "/a", "/a/b/c"]),
        ("/a/**", ["/a/b", "/a/b/c"], ["/a", "/ab"]),
        ("/a/**/b", ["/a/b", "/a/x/b", "/a/x/y/b"], ["/a/xb", "/ab"]),
        ("**/.env", ["/.env", "/a/.env", "/a/b/.env"], ["/a/x.env", "/a/.env/b"]),
        (".env", ["/.env", "/a/.env", ".env"], ["/a/x.env"]),
        ("**/.ssh/**", ["/home/bob/.ssh/id", "/.ssh/a/b"], ["/home/bob/.ssh"]),
        ("/a/?", ["/a/b", "/a/é"], ["/a/bc", "/a//"]),
        ("/a/[bc]", ["/a/b", "/a/c"], ["/a/d"]),
        ("/a/[!bc]", ["/a/d"], ["/a/b", "/a//"]),
        ("/a/[[]x]", ["/a/[x]"], ["/a/x"]),
        ("/a/[]x]", ["/a/]", "/a/x"], ["/a/y"]),
        ("/a/id_*.pub", ["/a/id_rsa.pub"], ["/a/id_rsa.pub2", "/a/id_/x.pub"]),
        ("@/run/dbus-*", ["@/run/dbus-x"], ["/run/dbus-x", "@/run/dbus-x/y"]),
        ("docker.sock", ["/run/docker.sock", "docker.sock"], ["@/run/docker.sock"]),
        ("**", ["/a", "a", "@a", "/a/b\nc"], []),
        ("memfd:*", ["memfd:x"], ["/a/memfd:x", "memfd:a/b"]),
        ("/a/*\n*", ["/a/x\ny"], ["/a/x"]),
    ],
)
def test_a_path_pattern_matches_what_the_documentation_says(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    """Stars stay within a component, two stars cross, a bare name is the last component."""
    globs = PathGlobs((pattern,))
    assert [path for path in matching if not globs.matches(path)] == []
    assert [path for path in other if globs.matches(path)] == []


def _char(atom: object, char: str) -> bool:
    if isinstance(atom, OneOf):
        body = atom.body
        return (char not in body[1:]) if body.startswith("^") else (char in body)
    return char != "/"


def _name(atoms: tuple[object, ...], name: str) -> bool:
    """Match one component the slow and obvious way."""
    if not atoms:
        return not name
    first, rest = atoms[0], atoms[1:]
    if isinstance(first, str):
        return name.startswith(first) and _name(rest, name[len(first) :])
    if first is Wild.RUN:
        return any(_name(rest, name[n:]) for n in range(len(name) + 1))
    return bool(name) and _char(first, name[0]) and _name(rest, name[1:])


def _path(components: tuple[Component, ...], parts: tuple[str, ...]) -> bool:
    if not components:
        return not parts
    first, rest = components[0], components[1:]
    if first is None:
        if not rest:
            return bool(parts)
        return any(_path(rest, parts[n:]) for n in range(len(parts) + 1))
    if not parts or (first == (Wild.RUN,) and not parts[0]):
        return False
    return _name(first, parts[0]) and _path(rest, parts[1:])


@settings(max_examples=1500, deadline=None)
@given(PATTERNS, st.one_of(PATHS, SPELLED))
def test_the_compiled_form_agrees_with_the_obvious_one(pattern: str, path: str) -> None:
    """The expression with its atomic groups loses no match and adds none."""
    if not path or path.endswith("/") or "//" in path:
        return
    if path.startswith("@") and not pattern.startswith("@") and pattern != "**":
        return
    expected = _path(parse_path(pattern), tuple(path.split("/")))
    assert PathGlobs((pattern,)).matches(path) is expected
    together = PathGlobs((pattern, "/no/such/*thing"))
    assert together.matches(path) is expected


@settings(max_examples=800, deadline=None)
@given(st.text("ab*?[]! ", max_size=8), st.text("ab ", max_size=12))
def test_text_patterns_agree_with_fnmatch(pattern: str, text: str) -> None:
    """Over a command line, patterns are those of fnmatch."""
    try:
        globs = TextGlobs((pattern,))
    except GlobError:
        return
    assert globs.matches(text) is fnmatch.fnmatchcase(text, pattern)


def test_no_name_can_make_a_pattern_slow() -> None:
    """Patterns with many stars take a name of many near misses in stride.

    With backtracking the first of these would take longer than the universe has.
    """
    many = "*a" * 20
    assert not TextGlobs((f"{many}b",)).matches("a" * 20_000)
    assert not PathGlobs((f"/x/{many}b",)).matches("/x/" + "a" * 4_000)
    deep = "/".join(itertools.repeat("**/a*", 10))
    assert not PathGlobs((f"/{deep}/b",)).matches("/" + "a/" * 2_000 + "c")


def test_what_a_longer_text_could_still_match_is_known() -> None:
    """A cut command line is judged by what the pattern begins with."""
    globs = TextGlobs(("sudo rm *",))
    assert globs.could_begin("sudo rm -rf") and globs.could_begin("sud")
    assert not globs.could_begin("ls ")
    assert TextGlobs(("*--force*",)).could_begin("git push")
