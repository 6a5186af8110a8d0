"""Errors of the agent.

AgentError
├── ConfigError      a configuration file says something that cannot be meant
├── SensorError      the kernel side cannot be loaded, reached or trusted
│   └── RecordError  one record of the kernel is not an act that this version knows
├── JournalError     the record of holds on disk cannot be read or written
├── ControlError     a process could not be stopped, released or killed
├── NotRunningError  no agent runs that could be asked
├── WhyError         what a session says of itself, or asks, cannot be taken
└── TransportError   NATS cannot be reached, or did not take a message
"""


class AgentError(Exception):
    """Base of everything that this package raises; its text names the place and the remedy."""


class ConfigError(AgentError):
    """A configuration file says something that cannot be meant."""


class SensorError(AgentError):
    """The kernel side cannot be loaded, reached or trusted."""


class RecordError(SensorError):
    """One record of the kernel is not an act that this version knows."""


class JournalError(AgentError):
    """The record of holds on disk cannot be read or written."""


class ControlError(AgentError):
    """A process could not be stopped, released or killed."""


class WhyError(AgentError):
    """What a session says of itself, or asks, cannot be taken."""


class TransportError(AgentError):
    """NATS cannot be reached, or did not take a message."""


class NotRunningError(AgentError):
    """No agent runs that could be asked."""
