"""The kernel's own look-ups against the plain model of them, over real files and programs."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from rules.match import decide
from rules.modes import HostMode
from rules.superset import Table, Want, compile_tables
from tests.support.tiny_elf import write_creator
from tests.support.watched import Watched
from tests.unit.rules.kernel_model import lookup

pytestmark = pytest.mark.kernel

LONG = "a-name-of-more-than-thirty-one-bytes-for-sure"
FILES = [
    "home/alice/.ssh/id_rsa",
    "home/alice/.ssh/id_rsa.pub",
    "home/alice/.sshx/id_rsa",
    "home/bob/.aws/credentials",
    "home/bob/.aws/cli/cache/x.json",
    "srv/app/.env",
    "srv/app/.env.local",
    "srv/app/key.pem",
    "srv/app/keypem",
    "srv/app/deep/er/and/deeper/key.pem",
    "srv/ap",
    "srv/application",
    f"srv/{LONG}",
    f"srv/{LONG}x",
    f"srv/{LONG}/inner",
    "srv/späß.txt",
    "srv/with space",
    "x",
    "x.y.z.pem",
]
PATTERNS = [
    "{place}/home/*/.ssh/**",
    "{place}/home/alice/.ssh/id_rsa",
    "{place}/home/alice/.ssh",
    "**/.aws/*",
    "**/.aws/**",
    ".env",
    ".env*",
    "*.pem",
    "*pem",
    "{place}/srv/app/**",
    "{place}/srv/app*",
    "{place}/srv/ap",
    f"**/{LONG}",
    f"**/{LONG}*",
    f"**/{LONG}/*",
    "**/späß.txt",
    "*ß.txt",
    "with space",
    "{place}/x",
    "{place}/?",
    "**",
    "*",
]


def real_files(place: Path) -> list[Path]:
    """Make the files, one of which is named like a directory of another."""
    made = []
    for name in FILES:
        path = place / name
        if any(parent.is_file() for parent in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            path.touch()
            made.append(path)
    for directory, _, _ in os.walk(place):
        Path(directory).chmod(0o755)
    place.chmod(0o777)
    return made


def rule(paths: Iterable[str], kind: str = "open", action: str = "observe") -> str:
    """Return a rule file about paths."""
    listed = ", ".join(f'"{path}"' for path in paths)
    return (
        "rules:\n  - id: one\n    description: One.\n    severity: info\n"
        f"    match: {{ {kind}: {{ path: [{listed}] }} }}\n    action: {action}\n"
    )


# All by themselves, and some together, where longest matches meet.
CHOICES = [[pattern] for pattern in PATTERNS] + [
    ["{place}/home/*/.ssh/**", "{place}/home/alice/.ssh/id_rsa", "*.pem"],
    ["*.pem", "*key.pem", ".env"],
    ["{place}/srv/app/**", "{place}/srv/ap", "{place}/srv/app/.env"],
]


@pytest.mark.parametrize("patterns", CHOICES, ids=" ".join)
def test_the_kernel_finds_what_the_model_of_its_tables_finds(
    watched: Watched, patterns: list[str]
) -> None:
    """For every file: observed exactly if the tables say so, and never missed by the rules."""
    files = real_files(watched.place)
    watched.rules(rule(patterns))
    child = watched.run(
        "for line in sys.stdin:\n"
        "  if line == '\\n': break\n"
        "  os.close(os.open(line[:-1].encode('utf-8', 'surrogateescape'), 0))\n"
    )
    assert child.process.stdin is not None
    child.process.stdin.write(b"".join(os.fsencode(path) + b"\n" for path in files) + b"\n")
    child.process.stdin.flush()
    assert child.end() == 0
    below = f"{watched.place}/"
    seen = {act.path: act for act in watched.acts() if act.path.startswith(below)}
    tables = compile_tables(watched.ruleset, HostMode.STOP)
    expected = {
        str(path) for path in files if lookup(tables, Table.OPEN, str(path)) & Want.OBSERVE_READ
    }
    assert set(seen) == expected
    assert {str(path) for path in files if _named(watched, patterns, path)} <= set(seen)


def _named(watched: Watched, patterns: list[str], path: Path) -> bool:
    globs = watched.ruleset.rules[0].match.path
    assert globs is not None
    return globs.matches(str(path))


@pytest.mark.parametrize(
    ("pattern", "called", "held"),
    [
        ("{place}/bin/tool", "{place}/bin/tool", True),
        ("{place}/bin/tool", "./bin/tool", True),
        ("{place}/bin/*", "./bin/../bin/tool", True),
        ("tool", "bin/tool", True),
        ("alias", "./alias", True),
        ("{place}/alias", "./alias", True),
        ("too*", "./alias", True),
        ("**/bin/*", "./alias", True),
        ("*ool", "{place}//bin//tool", True),
        ("other", "./alias", False),
        ("bin", "./bin/tool", False),
    ],
)
def test_a_program_is_found_by_its_path_and_by_the_name_it_was_called(
    watched: Watched, pattern: str, called: str, held: bool
) -> None:
    """Whatever the rules match is held; what no rule matches is not asked about."""
    (watched.place / "bin").mkdir()
    (watched.place / "bin").chmod(0o755)
    write_creator(watched.place / "bin" / "tool", watched.place / "made")
    (watched.place / "alias").symlink_to("bin/tool")
    watched.rules(rule([pattern], "exec", "ask"))
    child = watched.run([called.replace("{place}", str(watched.place))])
    found = [one for one in watched.passing(child) if decide(watched.ruleset, one.act).rule]
    assert bool(found) is held
