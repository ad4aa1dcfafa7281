"""The night's placing of a million customers: how long it takes, and the memory of its process.

``python -m deploy.bench.profile.night RESULT`` is that process; the environment tells the rest.
"""

import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import uvloop

from deploy.bench.children import child, finished
from deploy.bench.profile.segmentation import place_all
from deploy.bench.purchases import Purchase
from deploy.bench.stage import Fresh, Stage
from deploy.catalogue import entry
from deploy.environment import deployed
from shared.messaging.records import Record
from shared.observability import configure_logging
from shared.settings import KafkaSettings

BATCH = 500
LONGEST_SECONDS = 600.0
TABLES = ("customers", "purchase_states", "placements")
_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 1 AND NOT attisdropped AND attgenerated = ''
"""
_PROSPECTS = """
INSERT INTO customers (customer_id, bare, created_at, updated_at)
SELECT 'bench:prospect:' || n, true, now(), now() FROM generate_series(1, $1::int) AS n
"""


@dataclass(frozen=True, slots=True)
class Night:
    """Seconds of the whole, the most memory that the process had, and how many placements were other than right."""

    customers: int
    seconds: float
    peak_mb: float
    corrected: int

    @property
    def seconds_per_million(self) -> float:
        """The same for a million customers."""
        return self.seconds / self.customers * 1e6


async def measure(stage: Stage, database: Fresh, purchases: Sequence[Purchase], customers: int) -> Night:
    """Customers like those of the purchases, one in ten a prospect, each as often as it takes; then the nightly job."""
    count = await populate(stage, database, purchases, customers)
    log, result = stage.home / "night.log", stage.home / "night.json"
    environment = stage.environment(KafkaSettings(), database)
    async with child("deploy.bench.profile.night", str(result), log=log, environment=environment) as process:
        await finished(process, log, LONGEST_SECONDS)
    found = json.loads(result.read_text())
    return Night(count, found["seconds"], found["peak_mb"], found["corrected"])


async def populate(stage: Stage, database: Fresh, purchases: Sequence[Purchase], customers: int) -> int:
    """Fills the database, and answers with how many: some come in as events and are placed, the others are their
    copies, made in sets."""
    service = stage.build("profile", database.dsn)
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        for start in range(0, len(purchases), BATCH):
            batch = purchases[start : start + BATCH]
            await service.intake.take([Record("purchase-recorded", each.key, each.value) for each in batch])
        buyers = len({each.customer_id for each in purchases})
        await connection.execute(_PROSPECTS, buyers // 9)
        await place_all(service)
        kinds = buyers + buyers // 9
        placed = await connection.fetchval("SELECT count(DISTINCT customer_id) FROM placements")
        assert placed == kinds, f"{placed} of {kinds} are placed"
        # Copies are placed already: nothing is to be marked, and nothing to be matched.
        await connection.execute("SET session_replication_role = replica")
        for table in TABLES:
            columns = await connection.fetchval(_COLUMNS, table)
            await connection.execute(
                f"INSERT INTO {table} (customer_id, {columns})"  # names from the catalogue
                f" SELECT customer_id || '~' || n, {columns} FROM {table}, generate_series(2, $1::int) AS n",
                max(1, customers // kinds),
            )
            await connection.execute(f"VACUUM ANALYZE {table}")
        await connection.execute("CHECKPOINT")
        return int(await connection.fetchval("SELECT count(*) FROM customers"))
    finally:
        await connection.close()
        await service.stop()


async def recompute() -> dict[str, float]:
    """The nightly job, once."""
    found = deployed("profile")
    service = entry("profile").build(found.surroundings, found.settings)
    await service.start(())
    try:
        [job] = [job for job in service.runner.jobs if job.name == "recompute-placements"]
        began = time.perf_counter()
        corrected = await job.run()
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"seconds": seconds, "peak_mb": peak, "corrected": corrected}
    finally:
        await service.stop()


if __name__ == "__main__":
    configure_logging(json=True, level="WARNING")
    Path(sys.argv[1]).write_text(json.dumps(uvloop.run(recompute())))
