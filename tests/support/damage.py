"""Ways in which a file on disk goes wrong: cut, overwritten, emptied, another thing altogether."""

import os
from pathlib import Path

from hypothesis import strategies as st

# Values that TOML can write and no key of ours can mean.
TOML_VALUES = [
    "true", "-1", "0", "9" * 40, "9" * 5_000, "1.5", "inf", "nan", "1e300", "1979-05-27", '""',
    '"\\u0000"', '"\\u001b[2J"', '"' + "x" * 5_000 + '"', "[]", "[[]]", "[1, 'a']", "{}", "{a = 1}",
    "[" * 2_000, "'", '"""', "", "07:32:00", "0x10", "['']", "['\\\\x']", '"nats://["', '"²MB"',
]  # fmt: skip


class Blob(bytes):
    """Bytes that a failure shows in short."""

    def __repr__(self) -> str:
        return f"Blob({bytes(self[:160])!r}, {len(self)} bytes)"


@st.composite
def damaged(draw: st.DrawFn, text: str) -> bytes:
    """Return a text file's bytes cut, overwritten, or with another value for one of its keys."""
    raw = text.encode()
    at = draw(st.integers(0, len(raw)))
    match draw(st.integers(0, 4)):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + draw(st.binary(min_size=1, max_size=9)) + raw[at:]
        case 2:
            return raw[:at] + raw[at + draw(st.integers(1, 30)) :]
        case 3:
            lines = text.split("\n")
            keys = [index for index, line in enumerate(lines) if " = " in line]
            line = draw(st.sampled_from(keys))
            name = lines[line].partition(" = ")[0]
            lines[line] = f"{name} = {draw(st.sampled_from(TOML_VALUES))}"
            return "\n".join(lines).encode()
        case _:
            lines = text.split("\n")
            lines.insert(
                draw(st.integers(0, len(lines))),
                draw(st.sampled_from(["mood = 1", "[mood]", "[[mood]]", "a.b.c = 1", "\ufeff"])),
            )
            return "\n".join(lines).encode()


def put(path: Path, data: bytes, mode: int = 0o600) -> Path:
    """Write a file."""
    path.write_bytes(data)
    path.chmod(mode)
    return path


def snapshot(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Return everything below a directory: mode and contents by name."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(directory.rglob("*"))
    }


def odd_files(directory: Path) -> list[Path]:
    """Make what is no regular file, and return the paths; also of one that is not there."""
    made = directory / "odd"
    made.mkdir()
    (made / "directory").mkdir()
    os.mkfifo(made / "fifo", 0o600)
    (made / "loop").symlink_to(made / "loop")
    (made / "device").symlink_to("/dev/zero")
    (made / "file").write_bytes(b"")
    return [
        *(made / name for name in ("directory", "fifo", "loop", "device", "nothing")),
        made / "file" / "below",
        made / ("x" * 300),
    ]
