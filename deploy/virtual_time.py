"""Living through virtual time: every job that falls due on the way runs at its instant, in order."""

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from deploy.quiet import until_settled
from shared.clock import VirtualClock
from shared.jobs import Job

if TYPE_CHECKING:
    from deploy.system import System

MOST_ROUNDS = 50


class Timeline:
    """The embedded system's time. One advance at a time: the caller sees to that."""

    def __init__(self, system: "System", clock: VirtualClock) -> None:
        self.system = system
        self.clock = clock
        self._known: dict[str, list[tuple[datetime | None, Job]]] = {}
        self._moved: dict[str, int] = {}

    async def advance(self, by: timedelta) -> int:
        """Sets the clock ``by`` further; answers how many job runs that took.

        What a job publishes flows through all services before the next instant. Raises RuntimeError naming a job
        that stays due however often it runs, TimeoutError naming what doesn't flow.
        """
        target = self.clock.now() + by
        runs = 0
        await self.system.until_quiet()
        self._known.clear()
        rounds = 0
        while due := await self._due(target):
            instant = min(at for at, _, _ in due)
            rounds = rounds + 1 if instant <= self.clock.now() else 0
            names = [f"{service}.{job.name}" for at, service, job in due if at == instant]
            if rounds > MOST_ROUNDS:
                raise RuntimeError(f"due again and again at {instant.isoformat()}: {', '.join(names)}")
            self.clock.set(max(instant, self.clock.now()))
            for at, service, job in sorted(due, key=lambda entry: (entry[0], entry[1], entry[2].name)):
                if at <= self.clock.now():
                    await self.system.services[service].runner.run_once(job, wait=True)
                    self._known.pop(service, None)
                    runs += 1
            await until_settled(self.system.services)
        self.clock.set(target)
        return runs

    async def _due(self, target: datetime) -> list[tuple[datetime, str, Job]]:
        for name, service in self.system.services.items():
            # What falls due in a service changes when a job of it has run, and when it has taken in an event.
            moved = sum(service.intake.counts.values())
            if name not in self._known or self._moved[name] != moved:
                jobs = service.runner.jobs
                instants = await asyncio.gather(*(job.next_due() for job in jobs))
                self._known[name], self._moved[name] = list(zip(instants, jobs, strict=True)), moved
        return [
            (at, name, job) for name, jobs in self._known.items() for at, job in jobs if at is not None and at <= target
        ]
