"""A service, wired: its HTTP app, consumer, relay and jobs over one database, in the roles it is asked to play."""

import asyncio
import gc
import hmac
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog
from fastapi import APIRouter, FastAPI

from shared.clock import Clock
from shared.db import Database, fetch
from shared.http.app import create_app
from shared.http.failures import DomainErrors
from shared.http.problems import ProblemError, conflict
from shared.http.settings import HttpSettings
from shared.jobs import Job, JobRunner
from shared.messaging.consumer import Consumer
from shared.messaging.erased import CODE, CustomerIsErased, Erased
from shared.messaging.housekeeping import housekeeping
from shared.messaging.intake import Intake, UseCase
from shared.messaging.metrics import MessagingMetrics
from shared.messaging.relay import Relay
from shared.observability import new_registry
from shared.operations import operations_router
from shared.settings import HouseSettings, KafkaSettings

log = structlog.get_logger()

Role = Literal["api", "consumer", "relay", "jobs"]
ROLES: tuple[Role, ...] = ("api", "consumer", "relay", "jobs")
STOP_SECONDS = 30.0


def secret_for(house: HouseSettings, http: HttpSettings, purpose: str) -> bytes:
    """32 bytes that last as long as the house's ``erasure_key``, for one purpose alone."""
    given = house.erasure_key
    key = given.get_secret_value().encode() if given else http.hmac_key
    return hmac.digest(key, f"roost.{purpose}".encode(), "sha256")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service is built into: the house's settings, the broker, the clock, the HTTP settings."""

    house: HouseSettings
    kafka: KafkaSettings
    http: HttpSettings
    clock: Clock

    @property
    def erased(self) -> Erased:
        """The look-up of who was erased."""
        return Erased(self.secret_for("erased"))

    def secret_for(self, purpose: str) -> bytes:
        """See ``secret_for``."""
        return secret_for(self.house, self.http, purpose)


@dataclass(slots=True)
class Service:
    """What ``main.build`` makes. ``run`` plays the roles until ``stop``."""

    name: str
    db: Database
    app: FastAPI
    intake: Intake
    consumer: Consumer
    relay: Relay
    runner: JobRunner
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What is to be done last, while there is a database still."""
    _tasks: dict[Role, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def topics(self) -> list[str]:
        """What the service reads."""
        return list(self.intake.use_cases)

    async def start(self, roles: Iterable[Role] = ROLES) -> None:
        """Starts the loops of the roles; the HTTP app is served by whoever mounts it."""
        # What was imported and built stays: looking for garbage in it took a fifth of the processor's time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
        loops: Mapping[Role, Callable[[], Coroutine[None, None, None]]] = {
            "consumer": self.consumer.run,
            "relay": self.relay.run,
            "jobs": self.runner.run,
        }
        for role in roles:
            if role in loops:
                self._tasks[role] = asyncio.create_task(loops[role](), name=f"{self.name}.{role}")

    async def stop(self) -> None:
        """Lets each loop end its batch, within 30 s; then gives the connections back."""
        self.consumer.stop()
        self.relay.stop()
        self.runner.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=STOP_SECONDS)
            for task in late:
                log.warning("service.cancelled", service=self.name, loop=task.get_name())
                task.cancel()
            for ended in await asyncio.gather(*self._tasks.values(), return_exceptions=True):
                if isinstance(ended, Exception):
                    log.error("service.loop_failed", service=self.name, exc_info=ended)
        for close in self.closing:
            await close()
        await self.db.close()

    async def readiness(self) -> dict[str, str]:
        """Each part's state; ``ready`` and ``standby`` are good."""
        states: dict[str, str] = {}
        try:
            async with self.db.transaction() as tx:
                await fetch(tx, "SELECT 1")
            states["database"] = "ready"
        except Exception as error:  # readiness reports, whatever the cause
            states["database"] = f"unreachable: {type(error).__name__}"
        if "consumer" in self._tasks:
            states["consumer"] = self.consumer.state
        if "relay" in self._tasks:
            states["relay"] = self.relay.state
        states |= {role: "ended" for role, task in self._tasks.items() if task.done()}
        return states


def assemble(
    name: str,
    *,
    db: Database,
    surroundings: Surroundings,
    use_cases: Mapping[str, UseCase],
    jobs: Sequence[Job],
    routers: Sequence[APIRouter],
    wake: "Wake",
    domain_errors: DomainErrors | None = None,
    inbox_days: int = 37,
) -> Service:
    """Builds the parts every service has around its own use cases, jobs and routers.

    ``inbox_days``: topic retention and 7 days; older inbox rows are deleted. ``domain_errors``: as in ``create_app``.
    """
    clock = surroundings.clock
    relay = Relay(name, db, clock, surroundings.kafka)
    wake.target = relay.wake
    erased = surroundings.erased
    intake = Intake(name, use_cases, db, clock, after_commit=relay.wake, erased=erased)
    consumer = Consumer(intake, surroundings.kafka)
    runner = JobRunner(name, [*jobs, housekeeping(db, clock, inbox_days)], db)
    registry = new_registry()
    MessagingMetrics(name, intake, relay, registry)
    parts: list[Service] = []

    async def ready() -> dict[str, str]:
        return await parts[0].readiness()

    async def is_erased(customer: str) -> bool:
        async with db.transaction() as tx:
            return bool(await erased.find(tx, [customer]))

    app = create_app(
        title=f"Roost {name}",
        service=name,
        settings=surroundings.http,
        routers=[*routers, operations_router(name, db, intake)],
        ready=ready,
        domain_errors={CustomerIsErased: _erased, **(domain_errors or {})},
        registry=registry,
    )
    app.state.is_erased = is_erased
    parts.append(Service(name, db, app, intake, consumer, relay, runner))
    return parts[0]


def _erased(_: CustomerIsErased) -> ProblemError:
    return conflict(CODE, "This customer was erased; the id is never used again.")


@dataclass(slots=True)
class Wake:
    """Wakes the relay after a commit of an HTTP handler or a job; routers get it before the relay exists."""

    target: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        self.target()
