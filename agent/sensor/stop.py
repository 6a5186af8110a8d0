"""Mode `stop`: raw tracepoints. A process is stopped when its call returns, before it goes on."""

from agent.sensor.mapped import MappedSensor
from agent.sensor.sides import STOP


class StopSensor(MappedSensor):
    """Implements interface.Sensor."""

    mode = "stop"
    side = STOP
