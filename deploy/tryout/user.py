"""The demonstration's AI user: made for it, marked as ours, and removed after it."""

import os
import pwd
import shutil
import stat
from pathlib import Path

from deploy.bootstrap.commands import run
from deploy.tryout import processes
from deploy.tryout.errors import ForeignError, TryoutError
from deploy.tryout.places import COMMAND, USER, USER_COMMENT, USER_HOME

_BELONGINGS = Path(__file__).resolve().parent / "home"


def find() -> pwd.struct_passwd | None:
    """Return our user if it is there; raise ForeignError if one of that name is not ours."""
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        return None
    if entry.pw_gecos != USER_COMMENT or entry.pw_dir != str(USER_HOME):
        raise ForeignError(
            f"a user {USER} is on this machine that {COMMAND} has not made; "
            "rename or remove it, then try again"
        )
    return entry


def make() -> pwd.struct_passwd:
    """Make the user, with a home of its own that holds what the AI works with."""
    if USER_HOME.is_symlink() or USER_HOME.exists():
        raise ForeignError(
            f"{USER_HOME} is there and no user {USER} of ours; look what it is, then remove it"
        )
    run(
        ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(USER_HOME),
         "--shell", "/usr/sbin/nologin", "--comment", USER_COMMENT, USER],
        whole=True,
    )  # fmt: skip
    entry = find()
    if entry is None:
        raise TryoutError(f"useradd made no user {USER}; is /etc/passwd read-only?")
    USER_HOME.mkdir(mode=0o700)
    shutil.copytree(_BELONGINGS, USER_HOME, dirs_exist_ok=True)
    (USER_HOME / "outbox").mkdir()
    for directory, _, files in os.walk(USER_HOME):
        for path in (directory, *(os.path.join(directory, name) for name in files)):
            executable = os.stat(path).st_mode & stat.S_IXUSR
            os.chmod(path, 0o700 if executable else 0o600)
            os.chown(path, entry.pw_uid, entry.pw_gid)
    return entry


def remove() -> bool:
    """End every process of our user, then remove it and its home; say whether it was there.

    Nobody but the try-out runs anything under a user that the try-out itself has made.
    """
    entry = find()
    if entry is None:
        return False
    processes.kill_all(lambda: [seen for seen in processes.everyone() if seen.uid == entry.pw_uid])
    if USER_HOME.exists():
        shutil.rmtree(USER_HOME)
    run(["userdel", USER], whole=True)
    return True
