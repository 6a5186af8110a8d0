"""What the command may load, and that its page in the documents says what it does."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from collector.cli import errors
from collector.cli.__main__ import INTERRUPTED, app
from collector.cli.settings import DEFAULT_URL, PLAIN_HTTP
from tests.unit.collector.cli.fake_centre import TOKEN, FakeCentre
from tests.unit.collector.cli.terminal import REPOSITORY

PAGE = (REPOSITORY / "docs" / "command-line.md").read_text(encoding="utf-8")
# pydantic and rich come with typer and httpx, whether they are wanted or not.
HEAVY = ("duckdb", "pyarrow", "fastapi", "starlette", "uvicorn", "nats", "nacl")

_LOADED = """
import sys
from collector.cli.__main__ import main
try:
    main(sys.argv[2:])
except SystemExit as ended:
    assert ended.code == 0, ended.code
print("loaded:", [name for name in sys.argv[1].split(",") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("words", "unused"),
    [
        (("--help",), (*HEAVY, "httpx", "rich", "msgspec")),
        (("pending", "--json"), (*HEAVY, "msgspec")),
        (("pending",), HEAVY),
    ],
)
def test_a_command_loads_only_what_it_needs(
    centre: FakeCentre, tmp_path: Path, words: tuple[str, ...], unused: tuple[str, ...]
) -> None:
    """So that it starts at once."""
    centre.add()
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, ",".join(unused), *words],
        cwd=REPOSITORY,
        env={
            "PATH": "/usr/bin:/bin",
            "HOLDFAST_URL": centre.url,
            "HOLDFAST_TOKEN": TOKEN,
            "XDG_CONFIG_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its words."""

    def walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        for name, one in getattr(command, "commands", {}).items():
            yield from walk(f"{words} {name}", one)
        yield words, command

    yield from walk("holdfast", typer.main.get_command(app))


COMMANDS = dict(commands())
SHARED = {"--json", "--url", "--token-file", "--help", "-h"}


def section(words: str) -> str:
    """Return the section of the page about a command."""
    found = re.search(rf"^### `{words}\b.*?(?=^##)", PAGE + "\n##", re.MULTILINE | re.DOTALL)
    assert found, f"docs/command-line.md has no section of `{words}`"
    return found.group()


def test_all_commands_are_found() -> None:
    """The checks below look at something."""
    assert {"holdfast pending", "holdfast watch", "holdfast trail sql"} <= COMMANDS.keys()


@pytest.mark.parametrize(
    "words", [name for name, one in COMMANDS.items() if not hasattr(one, "commands")]
)
def test_every_command_and_option_is_in_the_documents(words: str) -> None:
    """In the section of its own command, with its help as first words of explanation."""
    text = section(words)
    for parameter in COMMANDS[words].params:
        for option in parameter.opts:
            if option.startswith("-") and option not in SHARED:
                assert f"`{option}`" in text or f"`{option} " in text, (words, option)
        if parameter.param_type_name == "argument":
            assert parameter.metavar in text


@pytest.mark.parametrize(
    "option", [*sorted(SHARED), "--version", "--install-completion", "--show-completion"]
)
def test_options_of_all_commands_are_in_the_documents(option: str) -> None:
    """Once, at the top."""
    assert f"`{option}`" in PAGE or f"`{option} " in PAGE


def test_every_section_is_of_a_command_that_there_is() -> None:
    """A command that was renamed is not left behind."""
    named = re.findall(r"^### `(holdfast [a-z -]*[a-z])", PAGE, re.MULTILINE)
    commands = {words for words, one in COMMANDS.items() if not hasattr(one, "commands")}
    assert set(named) == commands | {"holdfast why"}  # of hosts, and of no centre


def test_every_exit_code_is_in_the_documents_and_in_the_tree() -> None:
    """Scripts rely on them."""
    kinds: list[type[errors.CliError]] = [errors.CliError, *errors.CliError.__subclasses__()]
    codes = {kind.exit_code for kind in kinds}
    assert codes == set(range(1, 8))
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert table == {0, *codes, INTERRUPTED}
    drawn = errors.__doc__ or ""
    for kind in kinds:
        assert re.search(rf"{kind.__name__} +{kind.exit_code} ", drawn)


@pytest.mark.parametrize(
    "name",
    ["HOLDFAST_URL", "HOLDFAST_TOKEN", PLAIN_HTTP, "NO_COLOR", "XDG_CONFIG_HOME", DEFAULT_URL],
)
def test_every_setting_is_in_the_documents(name: str) -> None:
    """Environment and defaults."""
    assert name in PAGE
