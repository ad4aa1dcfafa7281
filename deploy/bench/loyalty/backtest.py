"""A year's purchases judged by another version, while accounts are read of the same process."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
import msgspec
import numpy as np

from deploy.bench.children import Scale, child, until_ready
from deploy.bench.loyalty.earning import post
from deploy.bench.loyalty.programmes import programme
from deploy.bench.purchases import LINES, SOURCE, purchase
from deploy.bench.stage import Fresh, Stage
from deploy.local.ports import free_port
from shared.http.auth import issue_token
from shared.messaging.records import Record
from shared.settings import KafkaSettings

SEED = 24
DAYS = 365
ORDERS = 8
"""Of each customer."""
KINDS = 2_500
"""Customers who come in as events, at the most; the others are their copies."""
RETURNED = 20
"""One order of so many comes back in part."""
BATCH = 500
RULES = 5
LONGEST_SECONDS = 900.0
_POLL_SECONDS = 0.1
_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attname <> ALL($2::text[])
"""
# What names the customer or the order gets the copy's number, in the columns and in what was said.
_FACTS = """
INSERT INTO facts (key, customer_id, order_id, event_id, body, {columns})
SELECT key || '~' || n, customer_id || '~' || n, order_id || '~' || n, event_id || '~' || n,
    convert_to(replace(replace(convert_from(body, 'UTF8'),
        '"customer_id":"' || customer_id || '"', '"customer_id":"' || customer_id || '~' || n || '"'),
        '"order_id":"' || coalesce(order_id, key) || '"', '"order_id":"' || coalesce(order_id, key) || '~' || n || '"'),
        'UTF8'),
    {columns}
FROM facts, generate_series(2, $1::int) AS n
"""
_ACCOUNTS = """
INSERT INTO accounts (customer_id, {columns})
SELECT customer_id || '~' || n, {columns} FROM accounts, generate_series(2, $1::int) AS n
"""
_LOTS = """
INSERT INTO lots (account_id, source_id, {columns})
SELECT (SELECT account_id FROM accounts WHERE customer_id = named.whose || '~' || n), source_id || '~' || n, {columns}
FROM (SELECT lots.*, customer_id AS whose FROM lots JOIN accounts USING (account_id)) AS named,
    generate_series(2, $1::int) AS n
"""
# In this order: a lot's copy looks for its account's.
_COPIES = {
    "facts": (_FACTS, ["key", "customer_id", "order_id", "event_id", "body"]),
    "accounts": (_ACCOUNTS, ["account_id", "customer_id"]),
    "lots": (_LOTS, ["account_id", "source_id"]),
}


@dataclass(frozen=True, slots=True)
class Backtested:
    """How many were judged, how long it took from asking to the answer, the most memory of the service's processes
    together, and what 99 of 100 accounts read meanwhile didn't take longer than."""

    customers: int
    orders: int
    seconds: float
    peak_mb: float
    meanwhile_p99_ms: float

    @property
    def seconds_per_100k(self) -> float:
        """The same for 100,000 customers."""
        return self.seconds / self.customers * 1e5


async def measure(stage: Stage, customers: int, until: datetime, show: Callable[[int, int], None]) -> Backtested:
    """A draft of 5 rules that gives twice the base, over the year before ``until``.

    Raises AssertionError if the answer isn't twice what was, or doesn't tell of everybody.
    """
    async with stage.database("loyalty") as database:
        await _populate(stage, database, customers, until)
        port, log = free_port(), stage.home / "backtest.log"
        environment = {**stage.environment(KafkaSettings(), database), "ROOST_PORT": str(port)}
        headers = {"Authorization": f"Bearer {issue_token(stage.secret, 'admin')}"}
        url = f"http://127.0.0.1:{port}"
        question = {
            "from": (until - timedelta(days=DAYS)).isoformat(),
            "to": until.isoformat(),
            "programme": programme(RULES, award=2),
        }
        async with (
            child("deploy.bench.loyalty.serving", "backtest", log=log, environment=environment) as process,
            httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
        ):
            await until_ready(url, process, log)
            async with Scale.under(process.pid) as scale:
                began = time.perf_counter()
                asked = await client.post("/simulations", json=question)
                assert asked.status_code == 202, asked.text
                done, meanwhile = await _finished(client, asked.json()["id"], show)
                seconds = time.perf_counter() - began
    result = done["result"]
    _check(result, customers)
    p99 = float(np.percentile(meanwhile, 99)) * 1000 if meanwhile else 0.0
    return Backtested(result["customers"], result["orders"], seconds, scale.peak_mb, p99)


def _check(result: dict[str, Any], customers: int) -> None:
    copies = max(1, customers // KINDS)
    everybody = min(customers, KINDS) * copies
    assert (result["customers"], result["orders"]) == (everybody, ORDERS * everybody), str(result)[:300]
    base = [next(rule for rule in result[side]["rules"] if rule["rule"] == "base") for side in ("tried", "compared")]
    # The base is rounded down on the order: twice as much, or a point more.
    twice = base[0]["awarded"] - 2 * base[1]["awarded"]
    assert 0 <= twice <= result["orders"], base


async def _finished(
    client: httpx.AsyncClient, id: str, show: Callable[[int, int], None]
) -> tuple[dict[str, Any], list[float]]:
    """The answer, and how long accounts took to be read until it was there."""
    meanwhile: list[float] = []
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        done: dict[str, Any] = (await client.get(f"/simulations/{id}")).json()
        if done["state"] in ("done", "failed"):
            assert done["state"] == "done", f"it failed: {done['error']}"
            show(done["persons"], done["persons"])
            return done, meanwhile
        if done["persons"]:
            show(done["judged"], done["persons"])
        began = time.perf_counter()
        assert (await client.get(f"/accounts/{_name(len(meanwhile) % 100)}")).status_code == 200
        meanwhile.append(time.perf_counter() - began)
        await asyncio.sleep(_POLL_SECONDS)
    raise AssertionError(f"the backtest took longer than {LONGEST_SECONDS:g} s")


def _name(customer: int) -> str:
    return f"bench:{customer}"


async def _populate(stage: Stage, database: Fresh, customers: int, until: datetime) -> None:
    """Some customers come in as events and earn; the others are their copies, made in sets, without ledgers."""
    kinds = min(customers, KINDS)
    service = stage.build("loyalty", database.dsn)
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        await service.start(())
        await post(stage, service, programme(RULES))
        records = _year(kinds, until)
        for start in range(0, len(records), BATCH):
            await service.intake.take(records[start : start + BATCH])
        # Copies are whole already.
        await connection.execute("SET session_replication_role = replica")
        for table, (sql, given) in _COPIES.items():
            columns = await connection.fetchval(_COLUMNS, table, given)
            await connection.execute(sql.format(columns=columns), customers // kinds)
            await connection.execute(f"VACUUM ANALYZE {table}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
        await service.stop()


def _year(customers: int, until: datetime) -> list[Record]:
    """Purchases of a year in time order, so many of each; behind each that comes back in part its return."""
    random = np.random.default_rng(SEED)
    days = random.random(customers * ORDERS) * DAYS
    numbers = random.integers(0, 1 << 30, size=(customers * ORDERS, LINES + 1)).tolist()
    records = []
    for n in np.argsort(days, kind="stable").tolist():
        at = until - timedelta(days=DAYS) + timedelta(seconds=int(days[n] * 86_400))
        made = purchase(_name(n // ORDERS), f"bench:order:{n}", at, numbers[n])
        records.append(Record("purchase-recorded", made.key, made.value))
        if n % RETURNED == 0:
            records.append(Record("purchase-returned", made.key, _return(made.customer_id, made.event_id, at)))
    return records


def _return(customer_id: str, order_id: str, at: datetime) -> bytes:
    data = {
        "customer_id": customer_id,
        "order_id": order_id,
        "return_id": f"{order_id}:return",
        "occurred_at": at.isoformat(),
        "lines": [{"line_id": "1", "quantity": 1}],
    }
    event = {
        "specversion": "1.0",
        "id": f"{order_id}:return",
        "source": SOURCE,
        "type": "purchase-returned.v1",
        "time": at.isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }
    return msgspec.json.encode(event)
