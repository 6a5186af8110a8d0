"""The frameworks that evidence can be arranged by; apart, since the command line knows them too."""

from enum import StrEnum


class Framework(StrEnum):
    """The name of a framework, as it is given to a command."""

    SOC2 = "soc2"
    ISO27001 = "iso27001"
    FEDRAMP = "fedramp"
