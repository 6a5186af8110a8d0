"""What Python's libraries do with files: SQLite, temporary files, tar, a virtual environment."""

import hashlib
import mmap
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from tests.transparency.programs.said import say, tried


def database(mode: str) -> str:
    """Have three processes write to one database."""
    path = f"{mode}.db"
    with sqlite3.connect(path) as made:
        made.execute(f"pragma journal_mode={mode}")
        made.execute("create table rows (writer, number)")
    made.close()
    code = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n"
        "for n in range(3):\n"
        "    db.execute('begin immediate')\n"
        "    db.execute('insert into rows values (?, ?)', (sys.argv[2], n))\n"
        "    db.execute('commit')\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path, str(n)]) for n in range(3)]
    codes = [writer.wait() for writer in writers]
    read = sqlite3.connect(path)
    rows = read.execute("select writer, number from rows order by 1, 2").fetchall()
    sound = read.execute("pragma integrity_check").fetchone()
    read.close()
    return f"{codes} {rows} {sound}"


def temporary() -> str:
    """Use temporary files of each kind."""
    with (
        tempfile.TemporaryDirectory(dir=".") as directory,
        tempfile.NamedTemporaryFile(dir=directory) as named,
        tempfile.TemporaryFile(dir=directory) as unnamed,
    ):
        named.write(b"named")
        named.flush()
        unnamed.write(b"unnamed")
        unnamed.seek(0)
        found = f"{Path(named.name).read_bytes()!r} {unnamed.read()!r}"
        assert len(os.listdir(directory)) == 1
    return f"{found} {Path(directory).exists()}"


def archive() -> str:
    """Pack a tree, unpack it and copy it; return a digest of what came of it."""
    tree = Path("tree")
    for number in range(4):
        place = tree / f"d{number}"
        place.mkdir(parents=True)
        (place / "file").write_text("x" * number)
        (place / "link").symlink_to("file")
        os.utime(place / "file", (1, 2))
    with tarfile.open("tree.tar.gz", "w:gz") as packed:
        packed.add(tree)
    with tarfile.open("tree.tar.gz") as packed:
        packed.extractall("unpacked")  # noqa: S202
    shutil.copytree("unpacked/tree", "copied", symlinks=True)
    shutil.rmtree("unpacked")
    digest = hashlib.sha256()
    for path in sorted(Path("copied").rglob("*")):
        digest.update(f"{path} {path.is_symlink()} {path.is_dir()}".encode())
        if path.is_file():
            digest.update(path.read_bytes())
            digest.update(str(path.stat().st_mtime).encode())
    return digest.hexdigest()


def environment() -> str:
    """Make a virtual environment without pip, and run its Python."""
    venv.create("environment", symlinks=True, with_pip=False)
    done = subprocess.run(
        ["environment/bin/python", "-c", "import sys; print(sys.prefix != sys.base_prefix)"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def mapped() -> bytes:
    """Write to a file through memory."""
    Path("mapped").write_bytes(b"0123456789")
    with Path("mapped").open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[2:4] = b"AB"
        memory.flush()
    return Path("mapped").read_bytes()


tried("SQLite with a journal", lambda: database("delete"))
tried("SQLite with a write-ahead log", lambda: database("wal"))
tried("temporary files", temporary)
tried("an archive", archive)
tried("a virtual environment", environment)
tried("a mapped file", mapped)
say("end", "reached")
