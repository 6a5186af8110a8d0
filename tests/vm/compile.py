"""Compiles the BPF programs for the kernel of a VM on this machine, in seconds instead of minutes.

Run by the system's Python with the loader's directory, the VM's BTF, its release, and then the
loader's own arguments. The VM finds what was compiled in the cache that it is given; where it does
not, it compiles for itself.
"""

import importlib
import importlib.util
import os
import sys
from typing import Any


def main() -> None:
    """Have the loader believe in the other kernel, and make an image without loading it."""
    directory, types, release, *rest = sys.argv[1:]
    sys.path.insert(0, directory)
    btf: Any = importlib.import_module("btf")
    btf.PATH = types
    real = os.uname()
    there = os.uname_result((real.sysname, real.nodename, release, real.version, real.machine))
    os.uname = lambda: there
    spec = importlib.util.spec_from_file_location("loader", directory + "/__main__.py")
    assert spec is not None
    assert spec.loader is not None
    loader: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    # What the loader would do next is to load the image.
    loader.image.install = _enough
    sys.argv[1:] = rest
    try:
        loader.main()
    except _EnoughError:
        return
    sys.exit("the loader has not come to an image")


class _EnoughError(BaseException):
    """The image is made; not an Exception, so that the loader does not take it for a failure."""


def _enough(*_arguments: object, **_options: object) -> None:
    raise _EnoughError


if __name__ == "__main__":
    main()
