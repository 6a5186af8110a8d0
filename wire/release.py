"""Which release of Holdfast this is."""

from importlib import metadata


def installed_version() -> str:
    """Return the version that is installed, or `checkout` where it runs from one."""
    try:
        return metadata.version("holdfast")
    except metadata.PackageNotFoundError:
        return "checkout"
