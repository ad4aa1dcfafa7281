"""The vital signs of the embedded system: lag, outboxes, dead letters, rows, the broker's memory."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from deploy.quiet import backlog
from shared.db import Database, fetch
from shared.messaging import dead_letters, flow

if TYPE_CHECKING:
    from deploy.system import System

_OLDEST = """
SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float AS age FROM outbox WHERE published_offset IS NULL
"""
_ROWS = "SELECT relname, n_live_tup FROM pg_stat_user_tables ORDER BY relname"


class ServiceVitals(BaseModel):
    """One service: what is on its way to and from it, what it could not apply, what it holds."""

    lag: int
    outbox: int
    outbox_age_seconds: float
    dead_letters: int
    applied: int
    duplicate: int
    states: dict[str, str]
    rows: dict[str, int]


class Vitals(BaseModel):
    """All services, and the memory of an embedded broker, which keeps its log there."""

    services: dict[str, ServiceVitals]
    broker_mb: float | None


async def vitals(system: "System") -> Vitals:
    """Asks every database and the broker."""
    on_the_way = await backlog(system.kafka, system.topics, system.databases)
    services = {}
    for name, service in system.services.items():
        age, letters, counted, rows = await _of_database(service.db)
        services[name] = ServiceVitals(
            lag=on_the_way.lag[name],
            outbox=on_the_way.waiting[name],
            outbox_age_seconds=round(age, 1),
            dead_letters=letters,
            applied=counted["applied"],
            duplicate=counted["duplicate"],
            states=await service.readiness(),
            rows=rows,
        )
    return Vitals(services=services, broker_mb=_resident_mb(system.infrastructure.broker_pid))


async def _of_database(db: Database) -> tuple[float, int, dict[str, int], dict[str, int]]:
    async with db.transaction() as tx:
        age = float((await fetch(tx, _OLDEST))[0]["age"])
        rows = {row["relname"]: int(row["n_live_tup"]) for row in await fetch(tx, _ROWS)}
        return age, await dead_letters.count(tx), await flow.totals(tx), rows


def _resident_mb(pid: int | None) -> float | None:
    """Resident memory, where /proc tells it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
    return round(kilobytes / 1024, 1)
