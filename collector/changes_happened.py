"""What a change of files, of a process or of the host has already done, in words."""

from typing import NamedTuple

from wire.acts import Act, Guarantee, Kind


class _Words(NamedTuple):
    before: str
    after: str
    perhaps: str


_WORDS = {
    Kind.CREATE: _Words(
        "Nothing has been created.", "It has been created.", "It may have been created."
    ),
    Kind.TRUNCATE: _Words(
        "The file still has all of its contents.",
        "The file has been cut; what was cut off is gone.",
        "The file may have been cut; what was cut off is gone then.",
    ),
    Kind.DELETE: _Words(
        "Nothing has been deleted.", "It has been deleted.", "It may have been deleted."
    ),
    Kind.RENAME: _Words(
        "Nothing has been renamed.",
        "It has its new name; a file that had that name before is gone.",
        "It may have its new name; a file that had that name before is gone then.",
    ),
    Kind.LINK: _Words(
        "The file has no further name yet.",
        "The file has its further name.",
        "The file may have its further name.",
    ),
    Kind.SYMLINK: _Words(
        "The link has not been made.", "The link has been made.", "The link may have been made."
    ),
    Kind.CHMOD: _Words(
        "The mode is what it was.", "The mode has been changed.", "The mode may have been changed."
    ),
    Kind.CHOWN: _Words(
        "Owner and group are what they were.",
        "Owner or group have been changed.",
        "Owner or group may have been changed.",
    ),
    Kind.MOUNT: _Words(
        "What is mounted is what it was.",
        "What is mounted has been changed.",
        "What is mounted may have been changed.",
    ),
    Kind.LISTEN: _Words(
        "The socket takes no connections yet.",
        "The socket takes connections; this program has accepted none through this call.",
        "The socket may take connections.",
    ),
    Kind.TRACE: _Words(
        "The other process has not been touched.",
        "The other process has been reached: traced, read or written.",
        "The other process may have been reached: traced, read or written.",
    ),
    Kind.IDENTITY: _Words(
        "It is still who it was.",
        "It has become who it asked to be.",
        "It may be who it asked to be.",
    ),
    Kind.MODULE: _Words(
        "Nothing has been loaded into the kernel.",
        "The module has been loaded into the kernel.",
        "The module may have been loaded into the kernel.",
    ),
    Kind.BPF: _Words(
        "The call has not been carried out.",
        "The call has been carried out.",
        "The call may have been carried out.",
    ),
    Kind.NAMESPACE: _Words(
        "It is in the namespaces that it was in.",
        "It is in other namespaces now.",
        "It may be in other namespaces now.",
    ),
}


def change_words(act: Act) -> str:
    """Return what has and what has not happened by a change; a call that failed is no change."""
    words = _WORDS[act.kind]
    if act.guarantee is Guarantee.HELD:
        return words.before
    return words.perhaps if act.result is None else words.after
