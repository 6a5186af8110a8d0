"""Rule files of any content: a rule set that all of Holdfast can use, or problems with places."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.rulings import RuleBook
from rules import examples
from rules.errors import ExampleError, RuleErrors
from rules.explain import explain
from rules.load import PACKS, load_texts
from rules.model import RuleSet
from rules.modes import HostMode
from tests.support.centre import REPOSITORY
from tests.unit.rules.strategies import ACTS

PACK_TEXTS = [path.read_text(encoding="utf-8") for path in sorted(PACKS.glob("*.yaml"))]
RULE = """\
rules:
  - id: test.one
    description: A test.
    severity: low
    match: {MATCH}
    action: ask
"""
# What YAML reads as more than a text, and what a rule's own words may not be.
TOKENS = [
    "&a ", "*a", "!!python/object:os.system ", "!x ", "? ", "- ", ": ", "{", "}", "[", "]",
    "|\n", ">-\n", "'", '"', "#", "%YAML 1.1\n---\n", "---\n", "...\n", "\t", "\r\n", "\r",
    "\ufeff", "\u2028", "\x85", "~", "null", "on", "1e999", "0x1", "-0", "9" * 5_000, '"\\0"',
    '"\\ud800"', '"\\U0010ffff"', "<<: ", "not: ", "exec: ", "open: ", "connect: ", "**", "[!",
    "[z-a]", "..", "/", "@", "10.0.0.0/33", "::/0", "65536", "1-0", "7d", "8d", "x" * 3_000,
]  # fmt: skip
PLACE = re.compile(r"t\.yaml(:\d+:\d+)?: ")


def read(data: bytes) -> RuleSet | None:
    """Return the rules in a file, or None after looking at how it is refused."""
    try:
        rules = load_texts([("t.yaml", data)])
    except RuleErrors as errors:
        lines = str(errors).splitlines()
        assert lines and len(lines) <= 101
        for line, problem in zip(lines, errors.problems, strict=False):
            assert PLACE.match(line), line
            assert len(line) < 1_000
            assert problem.remedy
        return None
    return rules


@pytest.fixture(params=["libyaml", "python"])
def either_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML with and without its parser in C: not every system has it."""
    if request.param == "python":
        monkeypatch.setattr("yaml.__with_libyaml__", False)


@st.composite
def nearly_packs(draw: st.DrawFn) -> bytes:
    """Return some rules of a pack with lines and words left out, doubled, moved and replaced."""
    text = draw(st.sampled_from(PACK_TEXTS))
    blocks = text.split("\n  - id:")
    chosen = draw(st.lists(st.sampled_from(blocks[1:]), min_size=1, max_size=2, unique=True))
    lines = "\n  - id:".join(["rules:", *chosen]).split("\n")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        line, token = lines[at], draw(st.sampled_from(TOKENS))
        cut = draw(st.integers(0, len(line)))
        match draw(st.integers(0, 5)):
            case 0:
                lines[at] = line[:cut] + token + line[cut:]
            case 1:
                lines[at] = line.partition(":")[0] + ": " + token
            case 2:
                lines.insert(at, draw(st.sampled_from(lines)))
            case 3:
                lines[at] = " " * draw(st.integers(0, 8)) + line.lstrip()
            case 4:
                lines[at] = line[:cut]
            case _:
                lines = lines[:at] + lines[at + 1 :] or ["rules:"]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return end.join(lines).encode()


@pytest.mark.usefixtures("either_loader")
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.lists(st.sampled_from(TOKENS), max_size=12).map(lambda tokens: "".join(tokens).encode()),
        st.sampled_from(TOKENS).map(lambda token: RULE.replace("{MATCH}", token).encode()),
        nearly_packs(),
    )
)
def test_any_file_is_rules_or_problems_with_places(data: bytes) -> None:
    """Nothing else, whatever is in it; the digest of rules is theirs again when read again."""
    rules = read(data)
    if rules is not None:
        again = read(data)
        assert again is not None and again.digest == rules.digest


@given(nearly_packs(), st.lists(ACTS, max_size=3))
def test_rules_that_load_can_be_put_in_force(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, acts: list[object]
) -> None:
    """The kernel's tables are made of them, and they judge acts: no error is left for later."""
    path = tmp_path_factory.getbasetemp() / "nearly.yaml"
    path.write_bytes(data)
    if read(data) is None:
        with pytest.raises(ConfigError):
            RuleBook([path], {"ai"}, HostMode.STOP)
        return
    book = RuleBook([path], {"ai"}, HostMode.STOP)
    for act in acts:
        book.decide(act, fresh=True)  # type: ignore[arg-type]
        explain(book.rules, act)  # type: ignore[arg-type]
    examples.check(book.rules)


@given(st.sampled_from(PACK_TEXTS), st.data())
def test_a_pack_that_was_cut_is_never_half_loaded(text: str, data: st.DataObject) -> None:
    """Cut within a rule, it is refused, or what is left of the rule is whole by itself."""
    raw = text.encode()
    rules = read(raw[: data.draw(st.integers(0, len(raw) - 1))])
    whole = {rule.id: rule for rule in load_texts([("t.yaml", raw)]).rules}
    if rules is not None:
        cut = [rule for rule in rules.rules if rule != whole.get(rule.id)]
        # Only the last rule can be shorter than it was, by keys or words at its end.
        assert len(cut) <= 1


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(
    f"{chr(99 + n)}: &{chr(99 + n)} [{', '.join(['*' + chr(98 + n)] * 9)}]\n" for n in range(9)
)


@pytest.mark.usefixtures("either_loader")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(BOMB, "an anchor (&name) is set", id="bomb"),
        pytest.param("rules: !!python/object/apply:os.system [ls]", "the tag", id="tag"),
        pytest.param("- " * 20_000, "nest deeper", id="nest"),
        pytest.param("rules:\n\t- id: x", "tab", id="tab"),
        pytest.param('"' * 99_999, "not YAML", id="quotes"),
        pytest.param("{" + "a: 1, " * 9_000 + "}", "stands twice", id="keys"),
        pytest.param("rules:\n" + "  - {x: 1}\n" * 5_000, "more; mend these first", id="many"),
        pytest.param("x" * 100_000 + ": 1", "not YAML", id="long-key"),
        pytest.param("rules: " + "y" * 100_000, "is not a list", id="long-value"),
        pytest.param(RULE.replace("{MATCH}", '{open: {path: "/etc/\\0x"}}'), "zero byte", id="nul"),
        pytest.param(
            RULE.replace("{MATCH}", "{connect: {port: " + "9" * 5_000 + "}}"), "port", id="port"
        ),
        pytest.param(
            RULE.replace("{MATCH}", "{open: {path: /x}}")
            + f"    examples: {{match: 'connect: a:{'9' * 5_000}'}}\n",
            "has no port",
            id="example-port",
        ),
        pytest.param(
            RULE.replace("{MATCH}", "{open: {path: /x}}") + f"    timeout: {'9' * 5_000}s\n",
            "timeout cannot be",
            id="timeout",
        ),
    ],
)
def test_hostile_yaml_is_refused_in_short_words(text: str, words: str) -> None:
    """With the place in the file and never the whole of it."""
    assert read(text.encode()) is None
    with pytest.raises(RuleErrors, match=re.escape(words)):
        load_texts([("t.yaml", text.encode())])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_change_nothing(encoding: str, end: str) -> None:
    """Editors write both."""
    text = PACK_TEXTS[0].replace("\n", end)
    assert load_texts([("t.yaml", text.encode(encoding))]).digest == (
        load_texts([("t.yaml", PACK_TEXTS[0].encode())]).digest
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_is_refused_with_its_place(encoding: str) -> None:
    """And with the remedy."""
    with pytest.raises(RuleErrors, match=r"t\.yaml:\d+:\d+: .*(UTF-8|control character)"):
        load_texts([("t.yaml", ("# ä\n" + PACK_TEXTS[0]).encode(encoding, "replace"))])


def test_long_lists_of_addresses_and_rules_load_at_once() -> None:
    """As providers publish them; a look at each pair would take minutes and hold up the agent."""
    count = 4_000
    nets = ", ".join(f"10.{n >> 8}.{n & 255}.0/24" for n in range(count))
    rules = load_texts(
        [
            ("t.yaml", RULE.replace("{MATCH}", f"{{connect: {{address: [{nets}]}}}}").encode()),
            (
                "u.yaml",
                b"rules:\n"
                + b"".join(
                    b"  - {id: u.n%d, description: x, severity: low, action: ask, "
                    b"match: {open: {path: /e/%d}}}\n" % (n, n)
                    for n in range(count)
                ),
            ),
        ]
    )
    assert len(rules.rules) == count + 1


@given(st.one_of(st.text(max_size=80), st.sampled_from(TOKENS).map("connect: {}:80".format)))
def test_any_line_is_an_act_or_refused(text: str) -> None:
    """As people type them after `rules explain`."""
    for line in (text, *(f"{kind}: {text}" for kind in ("exec", "open", "connect", "send"))):
        try:
            act = examples.parse(line)
        except ExampleError as error:
            assert len(str(error)) < 1_000
        else:
            explain(load_texts([("t.yaml", PACK_TEXTS[0].encode())]), act)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "good"], 0),
        (["check", "bad"], 1),
        (["check", "\udcff"], 1),
        (["explain", "bad", "open: /etc/shadow"], 1),
        (["explain", "good", "open: /etc/\udcff read"], 0),
        (["explain", "good", "exec: \udcff", "--subject", "\udcff"], 0),
        (["explain", "good", "eat: apples"], 1),
        (["explain", "good", "connect: a:" + "9" * 5_000], 1),
    ],
)
def test_the_commands_answer_in_words(tmp_path: Path, words: list[str], code: int) -> None:
    """Arguments that are not text included; a plain terminal is not one that can show all of it."""
    (tmp_path / "good").write_text(PACK_TEXTS[0], encoding="utf-8")
    (tmp_path / "bad").write_bytes(b"rules:\n  - id: \xff\n")
    done = subprocess.run(
        [sys.executable, "-m", "agent", "rules", *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    if code:
        assert len((done.stdout + done.stderr).strip().splitlines()) == 1
