"""One service by itself: in batches of 500, in batches of one, and its floor."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.bench.children import child, finished
from deploy.bench.floor import Share, applied, copy_seconds, outbox_of, read_seconds, written_by
from deploy.bench.purchases import Purchase
from deploy.bench.stage import Fresh, Stage, on_database, publish
from deploy.local.process import ProcessFailed, last_lines
from shared.settings import KafkaSettings

MAX_RECORDS = 500
TURNS = 2
LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Single:
    """Rates in purchases a second; the processor time of the consumer's own process in microseconds a purchase.

    The floor reads the events and copies the rows; ``copy_per_second`` is its second half alone.
    """

    events_per_second: float
    batch_of_one_per_second: float
    floor_per_second: float
    copy_per_second: float
    cpu_us_per_event: float
    rows_per_event: float

    @property
    def vs_batch_of_one(self) -> float:
        return self.events_per_second / self.batch_of_one_per_second

    @property
    def vs_floor(self) -> float:
        return self.events_per_second / self.floor_per_second

    @property
    def vs_copy(self) -> float:
        return self.events_per_second / self.copy_per_second


async def measure(
    stage: Stage, name: str, purchases: Sequence[Purchase], sample: int, say: Callable[[str], None], turns: int = TURNS
) -> Single:
    """All purchases are on the topic first; each run has a fresh database. Raises ProcessFailed if some don't apply.

    Consumer and floor take turns: machines change their pace within a minute, and a ratio is to be of one pace.
    """
    few = purchases[:sample]
    consumed = cpu = copied = read = 0.0
    written: list[list[Share]] = []
    async with stage.broker() as settings:
        async with stage.database(name) as database:
            say(f"{name} alone, one at a time")
            await publish(settings, few)
            ones = await _alone(stage, settings, database, len(few), max_records=1)
        for turn in range(turns):
            say(f"{name} alone, {MAX_RECORDS} at a time, and its floor ({turn + 1} of {turns})")
            # The group goes on behind what it had; its database is another, so nothing is known yet.
            await publish(settings, purchases)
            async with stage.database(name) as database:
                batches = await _alone(stage, settings, database, len(purchases), max_records=MAX_RECORDS)
                consumed, cpu = consumed + batches["seconds"], cpu + batches["cpu_seconds"]
                if not written:
                    async with stage.database(name) as other:
                        outbox = await outbox_of(stage, other, few)
                    template = on_database(stage.postgres.admin_dsn(), name)
                    written = await written_by(database, template, outbox, -(-len(purchases) // MAX_RECORDS))
            async with stage.database(name) as database:
                copied += await copy_seconds(database, written)
            read += read_seconds(purchases)
    events = turns * len(purchases)
    return Single(
        events_per_second=events / consumed,
        batch_of_one_per_second=len(few) / ones["seconds"],
        floor_per_second=events / (read + copied),
        copy_per_second=events / copied,
        cpu_us_per_event=cpu / events * 1e6,
        rows_per_event=sum(len(share.rows) for batch in written for share in batch) / len(purchases),
    )


async def _alone(
    stage: Stage, settings: KafkaSettings, database: Fresh, purchases: int, *, max_records: int
) -> dict[str, float]:
    log, result = stage.home / "alone.log", stage.home / "alone.json"
    environment = {**stage.environment(settings, database), "ROOST_KAFKA_MAX_RECORDS": str(max_records)}
    if max_records == 1:
        environment["ROOST_KAFKA_COMMIT_MS"] = "0"
    arguments = ("deploy.bench.alone", database.service, str(purchases), str(result))
    async with child(*arguments, log=log, environment=environment) as process:
        await finished(process, log, LONGEST_SECONDS)
    found, why = await applied(database)
    if found != purchases:
        raise ProcessFailed(f"{database.service} applied {found} of {purchases} purchases: {why or last_lines(log)}")
    measured: dict[str, float] = json.loads(result.read_text())
    return measured
