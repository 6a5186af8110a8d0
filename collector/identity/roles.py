"""What people may do."""

from enum import StrEnum


class Role(StrEnum):
    """What a person may do; ordered from least to most."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ADMIN = "admin"

    @property
    def decides(self) -> bool:
        """Whether this role may approve and deny."""
        return self is not Role.VIEWER
