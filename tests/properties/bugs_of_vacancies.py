"""Bugs of vacancies, as they happen: a moment that is not looked at, devices counted for slots, a wrong end."""

from collections.abc import Mapping, Sequence

from berth.core.admission import Pool
from berth.core.calendar import Calendar
from berth.core.vacancies import Takings, Vacancies


class ForgetsWhoComesLater(Vacancies):
    """Looks at the first moment only."""

    def may_hold(self, replicas: int, devices: int, level: int, at: int, until: int, beside: Takings) -> bool:
        del until
        return super().may_hold(replicas, devices, level, at, at + 1, beside)


class CountsFragments(Vacancies):
    """Takes devices that are free on different nodes for slots."""

    def may_hold(self, replicas: int, devices: int, level: int, at: int, until: int, beside: Takings) -> bool:
        return super().may_hold(replicas * devices, 1, level, at, until, beside)


class CountsWhoHasGone(Vacancies):
    """What was kept and is over still counts."""

    def may_hold(self, replicas: int, devices: int, level: int, at: int, until: int, beside: Takings) -> bool:
        spoilt = {where: [(amount, start, 1 << 30) for amount, start, _ in there] for where, there in beside.items()}
        return super().may_hold(replicas, devices, level, at, until, spoilt)


class WaitsForOneMore(Vacancies):
    """Bisects on the wrong side."""

    def first(self, replicas: int, devices: int, level: int) -> int | None:
        return super().first(replicas + 1, devices, level)


class AsksTheFirstDomain(Vacancies):
    """Knows one domain."""

    def first(self, replicas: int, devices: int, level: int) -> int | None:
        for ends, slots in self._of(devices, level):
            return next((end for end, free in zip(ends, slots, strict=True) if free >= replicas), None)
        return None


class TellsEveryEnd(Vacancies):
    """Takes every device that comes free for a slot."""

    def grows(self, devices: int, level: int) -> Sequence[int]:
        del devices
        return super().grows(1, level)


class TellsOfTheFirstDomain(Vacancies):
    """Knows one domain."""

    def grows(self, devices: int, level: int) -> Sequence[int]:
        return self._of(devices, level)[0][0][1:]


class CountsOnce(Vacancies):
    """Takes what has been counted for what is there."""

    def bring(self, pool: Pool, calendar: Calendar, used: Sequence[Mapping[str, int]]) -> None:
        if not self._slots:
            super().bring(pool, calendar, used)
