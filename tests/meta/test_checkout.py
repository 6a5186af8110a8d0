"""What is in the repository belongs to the project and to nobody's machine."""

import re
import subprocess
from pathlib import Path

from tests.layers import LAYERS

CHECKOUT = Path(__file__).resolve().parents[2]
# Paths that only exist on the machine of whoever wrote them.
PRIVATE = re.compile(r"(?<![\w./-])/(?:home|Users|root|work|mnt|workspace)/[A-Za-z0-9_.-]+")
# Homes that stand for anyone's, in rules, examples and their tests.
ANYONE = {
    "/home/alice", "/home/bob", "/home/ci", "/home/ai", "/home/dev", "/home/user", "/home/you",
    "/root/.ssh", "/root/.aws", "/root/.kube", "/root/.docker", "/root/...",
}  # fmt: skip


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [CHECKOUT / name for name in listed.stdout.split("\0") if name]


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    """An absolute path into a home or a checkout works for one person only."""
    found = []
    for path in _tracked():
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), 1):
            for match in PRIVATE.findall(line):
                if match not in ANYONE:
                    found.append(f"{path.relative_to(CHECKOUT)}:{number}: {match}")
    assert not found, "\n".join(found)


def test_every_test_is_in_exactly_one_layer() -> None:
    """tests/run skips nothing: its layers add up to what pytest finds, without overlap."""

    def collect(*arguments: str) -> list[str]:
        listed = subprocess.run(
            [str(CHECKOUT / ".venv/bin/python"), "-m", "pytest", "--collect-only", "-q", "-p",
             "no:cacheprovider", *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert listed.returncode in (0, 5), listed.stdout + listed.stderr
        return [line for line in listed.stdout.splitlines() if "::" in line]

    layered = [
        test
        for layer in LAYERS
        if layer.arguments and (not layer.directory or (CHECKOUT / layer.directory).is_dir())
        for test in collect(*layer.arguments)
    ]
    assert sorted(layered) == sorted(collect("tests"))
