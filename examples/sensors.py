"""A dashboard of sensor readings: sensors write, the dashboard draws what is newest, an alarm hears of every excess."""

import zproc
from pydantic import BaseModel, Field


class Reading(BaseModel):
    value: float = 0.0
    highest: float = 0.0
    count: int = 0


class Plant(zproc.StateModel):
    readings: dict[str, Reading] = {}
    limit: float = Field(default=90.0, gt=0)
    alarms: list[str] = []

    @zproc.action
    def report(self, sensor: str, value: float) -> None:
        reading = self.readings.setdefault(sensor, Reading())
        reading.value = value
        reading.highest = max(reading.highest, value)
        reading.count += 1
        if value > self.limit:
            self.alarms.append(f"{sensor}: {value}")


def measure(state: Plant, sensor: str, values: list[float]) -> None:
    for value in values:
        state.report(sensor, value)


def finished(plant: Plant) -> bool:
    return sum(reading.count for reading in plant.readings.values()) == 12


def dashboard(state: Plant) -> int:
    """Draw the newest state; with ``live=True``, those in between are skipped when drawing is slow."""
    drawn = 0
    for plant in state.when_change("readings", since=0, live=True):
        drawn += 1
        if finished(plant):
            break
    return drawn


with zproc.Context(Plant) as ctx:
    screen = ctx.spawn(dashboard)
    ctx.spawn(measure, "boiler", [70.0, 85.5, 97.25, 80.0])
    ctx.spawn(measure, "pump", [12.0, 12.5, 13.0, 12.0])
    ctx.spawn(measure, "valve", [91.5, 20.0, 21.0, 22.0])

    heard = ctx.state.get_when(lambda plant: len(plant.alarms) == 2, timeout=10)
    print("alarms:", sorted(heard.alarms))

    plant = ctx.state.get_when(finished, timeout=10)
    for name, reading in sorted(plant.readings.items()):
        print(f"{name:7} {reading.value:6.2f}, at most {reading.highest:6.2f}, {reading.count} readings")
    print("drawn at least once:", 1 <= screen.wait() <= 12)
