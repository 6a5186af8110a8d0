"""What every record of OCSF has: class, time, severity, product, and what no attribute is for.

The Open Cybersecurity Schema Framework, https://schema.ocsf.io, in the version named here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from collector.export.values import Facts, Row, milliseconds, without_nothing
from wire.release import installed_version

VERSION = "1.8.0"
_PROFILES = ["host", "linux/linux_users", "security_control"]
_PRODUCT = {"name": "Holdfast", "vendor_name": "Holdfast", "version": installed_version()}
# The name of a host by its id, as the centre knows it; empty if it does not.
Names = Callable[[str], str]
OTHER = 99
INFORMATIONAL, LOW, MEDIUM, HIGH, CRITICAL = 1, 2, 3, 4, 5
_SEVERITIES = {
    INFORMATIONAL: "Informational",
    LOW: "Low",
    MEDIUM: "Medium",
    HIGH: "High",
    CRITICAL: "Critical",
}
OF_RULE = {
    "info": INFORMATIONAL,
    "low": LOW,
    "medium": MEDIUM,
    "high": HIGH,
    "critical": CRITICAL,
}


@dataclass(frozen=True, slots=True)
class Class:
    """One class of events: its number, name, and category."""

    uid: int
    name: str
    category: str

    @property
    def category_uid(self) -> int:
        """The number of the category."""
        return self.uid // 1000


FILE = Class(1001, "File System Activity", "System Activity")
KERNEL_EXTENSION = Class(1002, "Kernel Extension Activity", "System Activity")
KERNEL = Class(1003, "Kernel Activity", "System Activity")
MEMORY = Class(1004, "Memory Activity", "System Activity")
PROCESS = Class(1007, "Process Activity", "System Activity")
LOG = Class(1008, "Event Log Activity", "System Activity")
FINDING = Class(2004, "Detection Finding", "Findings")
ACCOUNT = Class(3001, "Account Change", "Identity & Access Management")
AUTHENTICATION = Class(3002, "Authentication", "Identity & Access Management")
ENTITY = Class(3004, "Entity Management", "Identity & Access Management")
NETWORK = Class(4001, "Network Activity", "Network Activity")
INVENTORY = Class(5001, "Device Inventory Info", "Discovery")
BASE = Class(0, "Base Event", "Uncategorized")


@dataclass(frozen=True, slots=True)
class Activity:
    """What was done, as one class of events counts it."""

    of: Class
    number: int
    name: str


def made(
    activity: Activity,
    row: Row,
    *,
    table: str,
    time_ns: int,
    severity: int,
    facts: Facts,
    unmapped: Facts,
) -> Facts:
    """Return a record: `facts` are its attributes, `unmapped` what OCSF has no attribute for."""
    of = activity.of
    logged_ns = row.get("received_ns")
    metadata = {
        "version": VERSION,
        "product": _PRODUCT,
        "profiles": _PROFILES,
        "uid": row["id"],
        "sequence": row.get("number"),
        "log_name": table,
        "log_provider": "holdfast",
        "original_time": str(time_ns),
        "logged_time": milliseconds(logged_ns) if logged_ns else None,
        "correlation_uid": row.get("hold") or row.get("request") or row.get("session"),
    }
    return {
        "class_uid": of.uid,
        "class_name": of.name,
        "category_uid": of.category_uid,
        "category_name": of.category,
        "activity_id": activity.number,
        "activity_name": activity.name,
        "type_uid": of.uid * 100 + activity.number,
        "type_name": f"{of.name}: {activity.name if activity.number != OTHER else 'Other'}",
        "time": milliseconds(time_ns),
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "metadata": without_nothing(metadata),
        **without_nothing(facts),
        **without_nothing({"unmapped": without_nothing(unmapped)}),
    }


def device(host: str, names: Names) -> Facts:
    """Return a host."""
    return without_nothing(
        {
            "uid": host or "unknown",
            "name": names(host),
            "hostname": names(host),
            "type_id": 0,
            "type": "Unknown",
            "os": {"name": "Linux", "type_id": 200, "type": "Linux"},
        }
    )
