"""The 360° view beside a route that answers nothing, from one process, over sockets, in turns."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
import numpy as np
import psutil

from deploy.bench.children import child, until_ready
from deploy.bench.profile.load import Answered, ask
from deploy.bench.profile.segmentation import place_all
from deploy.bench.purchases import Purchase
from deploy.bench.stage import Fresh, Stage
from deploy.local.ports import free_port
from shared.http.auth import issue_token
from shared.messaging.records import Record
from shared.service import Service
from shared.settings import KafkaSettings

CONNECTIONS = 8
TURNS = 4
BATCH = 500
# What the other services say of a customer, in place of their events.
_STANDINGS = """
INSERT INTO standings (customer_id, points, complaints, tier_sequence, tier, risk_sequence, risk_band,
                       risk_probability, risk_scored_at, reasons_sequence, reasons, scored_sequence, forecast)
SELECT customer_id, 120, 0, 1, 'silver', 1, 'at-risk', 0.7, now(), 1,
       convert_to('[{"code":"silence","text":"62 days since the last purchase","contribution":0.3}]', 'UTF8'), 1,
       convert_to('{"value":{"amount":"2210.00","currency":"TWD"},"days":365,"expected_purchases":0.8,'
                  || '"horizon_days":90,"model_version":"house-3","scored_at":"2026-11-20T03:30:00Z"}', 'UTF8')
FROM customers WHERE customer_id = ANY($1) ON CONFLICT DO NOTHING
"""
_CONTACTS = """
INSERT INTO contacts (contact_id, customer_id, sequence, status, purpose, channel, due_at)
SELECT 'k:' || customer_id, customer_id, 1, 'planned', 'win-back', 'email', now() FROM unnest($1::text[]) AS customer_id
"""


@dataclass(frozen=True, slots=True)
class Viewed:
    """Answers a second, the time that 99 of 100 stay under, and the service process's processor time for an answer, of
    the view and of the empty route."""

    per_second: float
    p99_ms: float
    cpu_us: float
    empty_per_second: float
    empty_p99_ms: float
    empty_cpu_us: float

    @property
    def ratio(self) -> float:
        """What of the empty route's rate the view reaches."""
        return self.per_second / self.empty_per_second


async def furnish(service: Service, database: Fresh, purchases: Sequence[Purchase]) -> list[str]:
    """Gives customers who have files purchases, segments, points, a tier, a risk and a planned contact; their ids."""
    for start in range(0, len(purchases), BATCH):
        batch = purchases[start : start + BATCH]
        await service.intake.take([Record("purchase-recorded", each.key, each.value) for each in batch])
    await place_all(service)
    customers = sorted({each.customer_id for each in purchases})
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        await connection.execute(_STANDINGS, customers)
        await connection.execute(_CONTACTS, customers)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    return customers


async def measure(
    stage: Stage, database: Fresh, customers: Sequence[str], requests: int, show: Callable[[int, int], None]
) -> Viewed:
    """``requests`` of each in every turn, over 8 connections that stay open, each asking as soon as it is answered.

    Both pass the same middleware, log line, token and scope; nobody is asked for twice in a row.
    """
    port, log = free_port(), stage.home / "views.log"
    environment = {**stage.environment(KafkaSettings(), database), "ROOST_PORT": str(port)}
    token, dice = issue_token(stage.secret, "profile:read"), random.Random(22)  # a bench's dice
    seen: dict[str, list[Answered]] = {"/empty/": [], "/customers/": []}
    cpu = dict.fromkeys(seen, 0.0)
    async with child("deploy.bench.profile.serving", log=log, environment=environment) as process:
        url = f"http://127.0.0.1:{port}"
        await until_ready(url, process, log)
        for turn in range(TURNS + 1):
            for path, answered in seen.items():
                paths = [path + dice.choice(customers) for _ in range(requests)]
                before = _cpu_seconds(process.pid)
                found = await ask(url, token, paths, CONNECTIONS)
                # The first turn connects and compiles.
                if turn:
                    answered.append(found)
                    cpu[path] += _cpu_seconds(process.pid) - before
            show(turn + 1, TURNS + 1)
    view, empty = (_figures(answered, cpu[path]) for path, answered in reversed(seen.items()))
    return Viewed(*view, *empty)


def _figures(answered: Sequence[Answered], cpu: float) -> tuple[float, float, float]:
    each = [seconds for one in answered for seconds in one.each]
    per_second = len(each) / sum(one.seconds for one in answered)
    return per_second, float(np.percentile(each, 99)) * 1000, cpu / len(each) * 1e6


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
