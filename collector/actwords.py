"""The verb of each kind of act, and what exactly it does, in words for people. Pure."""

import stat

from wire.acts import Act, Kind

VERBS = {
    Kind.EXEC: "run",
    Kind.OPEN: "open",
    Kind.CONNECT: "connect to",
    Kind.SEND: "send to",
    Kind.CREATE: "create",
    Kind.TRUNCATE: "cut",
    Kind.DELETE: "delete",
    Kind.RENAME: "rename",
    Kind.LINK: "link",
    Kind.SYMLINK: "make the link",
    Kind.CHMOD: "change the mode of",
    Kind.CHOWN: "change the owner of",
    Kind.MOUNT: "mount",
    Kind.LISTEN: "listen on",
    Kind.TRACE: "reach into",
    Kind.IDENTITY: "change identity:",
    Kind.MODULE: "change the kernel:",
    Kind.BPF: "call bpf:",
    Kind.NAMESPACE: "change namespaces:",
    Kind.ASK: "ask for",
}
# Above the text that is held.
HEADINGS = {
    Kind.EXEC: "Command",
    Kind.OPEN: "File",
    Kind.CONNECT: "Connects to",
    Kind.SEND: "Sends to",
    Kind.CREATE: "Creates",
    Kind.TRUNCATE: "Cuts",
    Kind.DELETE: "Deletes",
    Kind.RENAME: "Renames",
    Kind.LINK: "Links",
    Kind.SYMLINK: "Makes the link",
    Kind.CHMOD: "Changes the mode of",
    Kind.CHOWN: "Changes the owner of",
    Kind.MOUNT: "Mounts",
    Kind.LISTEN: "Listens on",
    Kind.TRACE: "Reaches into",
    Kind.IDENTITY: "Changes identity",
    Kind.MODULE: "Changes the kernel",
    Kind.BPF: "Calls bpf",
    Kind.NAMESPACE: "Changes namespaces",
    Kind.ASK: "Asks for",
}
# What the second path is.
SECOND = {
    Kind.RENAME: "New name",
    Kind.LINK: "Further name",
    Kind.SYMLINK: "Points to",
    Kind.MOUNT: "Mounted",
}
# What the operation is.
OPERATIONS = {
    Kind.CREATE: "What is made",
    Kind.TRUNCATE: "Cut",
    Kind.DELETE: "What is deleted",
    Kind.CHMOD: "New mode",
    Kind.CHOWN: "New owner and group",
    Kind.MOUNT: "How",
}
_ODD_BITS = ((0o4000, "runs as its owner"), (0o2000, "runs as its group"))


def operation_words(act: Act) -> str:
    """Return what exactly the act does; of a mode also what it says, and what is odd about it."""
    if act.kind is not Kind.CHMOD:
        return act.operation
    try:
        mode = int(act.operation, 8)
    except ValueError:
        return act.operation
    odd = [words for bit, words in _ODD_BITS if mode & bit]
    text = f"{act.operation} ({stat.filemode(mode)[1:]})"
    return f"{text}: {', '.join(odd)}" if odd else text
