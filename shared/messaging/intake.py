"""Taking records in: one transaction a batch, in which every event has its effect once or becomes a dead letter."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import structlog

from shared.clock import Clock
from shared.contracts.topics import TOPICS
from shared.db import Database, Tx, is_transient
from shared.messaging import dead_letters, flow, inbox, outbox
from shared.messaging.dead_letters import DeadLetter
from shared.messaging.envelope import read_record
from shared.messaging.erased import CODE, Erased
from shared.messaging.events import Event, InvalidEvent, Rejection
from shared.messaging.outbox import Waiting
from shared.messaging.records import Record
from shared.observability import parse_traceparent

log = structlog.get_logger()

WINDOW = 5_000
MOST_PARKED = 50
SLICE = 10


@dataclass(slots=True)
class Outcome:
    """What a use case has to say of a batch beside its effect: facts known already, events refused."""

    duplicates: Sequence[Event] = ()
    rejected: Sequence[Rejection] = ()


class Reading(NamedTuple):
    """A record and its event, or why there is none: InvalidEvent, or a fault in the reading itself."""

    record: Record
    event: Event | Exception

    @property
    def source(self) -> str:
        """Who published it; "" where that can't be read."""
        return self.event.source if isinstance(self.event, Event | InvalidEvent) else ""


UseCase = Callable[[Tx, Sequence[Event]], Awaitable[Outcome]]


class TooManyFailures(Exception):
    """More than 1 % of the last 5,000 events, and more than 50, failed unexpectedly: the fault is ours."""


@dataclass(slots=True)
class Intake:
    """Applies records of a service's topics. ``use_cases`` are called in the order of their table.

    ``erased``: who is refused for ever; nobody without one.
    """

    service: str
    use_cases: Mapping[str, UseCase]
    db: Database
    clock: Clock
    after_commit: Callable[[], None]
    retries: int = 3
    counts: Counter[str] = field(default_factory=Counter)
    observe: Callable[[float], None] = lambda _: None
    erased: Erased | None = None
    _recent: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _parked: int = 0

    async def take(self, records: Sequence[Record]) -> None:
        """Reads and applies a batch."""
        await self.apply(await self.read(records))

    async def read(self, records: Sequence[Record]) -> list[Reading]:
        """What the records say. In slices, because the database may be at work on the batch before."""
        readings = []
        for number, record in enumerate(records):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            if _is_tombstone(record):
                continue
            try:
                readings.append(Reading(record, self._read(record)))
            except Exception as error:  # what isn't invalid is ours, and parks the one record
                readings.append(Reading(record, error))
        return readings

    async def apply(self, readings: Sequence[Reading]) -> None:
        """Applies a batch whole; when that fails unexpectedly, its halves, down to the one record at fault.

        Raises TooManyFailures once parking records is no longer the answer, and a database error that lasts. Either
        way the same batch may be applied again: what of it was applied is known.
        """
        started = time.perf_counter()
        await self._apply_or_halve(readings)
        self.observe(time.perf_counter() - started)

    async def give_up(self, record: Record, error: Exception) -> None:
        """Notes a record whose bytes the broker's client can't decode: a dead letter that tells its place."""
        now = self.clock.now()
        detail = f"partition {record.partition}, offset {record.offset}: {type(error).__name__}: {error}"
        letter = DeadLetter(record, "dead", "unreadable-record", detail)
        async with self.db.transaction() as tx:
            await dead_letters.keep(tx, self.service, [letter], now)
            await flow.add(tx, {"": 1}, {("", "dead"): 1}, now)
        self.after_commit()
        self.counts["dead"] += 1
        log.error("intake.unreadable", error=repr(error), **self._described(letter))

    async def replay(self, tx: Tx, id: int) -> bool:
        """Applies a dead letter after all; False if none of that id waits. Raises InvalidEvent if it still fails.

        A record of our own that the broker refused goes to the broker again.
        """
        found = await dead_letters.find(tx, id)
        if found is None:
            return False
        letter, counted_at = found
        now = self.clock.now()
        record = letter.record
        if letter.code == dead_letters.BROKER_REFUSED:
            headers = {name: content.decode() for name, content in record.headers}
            await outbox.append_records(tx, [Waiting(record.topic, record.key, record.value, headers)], now)
        else:
            readable = [(record, self._read(record))]
            letters: list[DeadLetter] = []
            if self.erased is not None:
                readable, letters = await self.erased.sift(tx, readable, [])
            outcomes, refused = await self._effect(tx, readable)
            if letters := [*letters, *refused]:
                raise InvalidEvent(letters[0].code, letters[0].detail, letters[0].pointer, source=letters[0].source)
            settled: flow.Settled = "applied" if "applied" in {outcome for _, outcome in +outcomes} else "duplicate"
            await flow.replayed(tx, letter.source, letter.outcome, settled, counted_at)
            self.counts[settled] += 1
        await dead_letters.mark_replayed(tx, id, now)
        return True

    def resume(self) -> None:
        """Forgets the failures that stopped the intake."""
        self._recent.clear()
        self._parked = 0

    async def _apply_or_halve(self, readings: Sequence[Reading]) -> None:
        self._check_failures()
        try:
            await self._retrying(readings)
        except Exception as error:
            if is_transient(error):
                raise
            if len(readings) == 1:
                await self._park(readings[0], error)
                return
            middle = len(readings) // 2
            await self._apply_or_halve(readings[:middle])
            await self._apply_or_halve(readings[middle:])

    async def _retrying(self, readings: Sequence[Reading]) -> None:
        for attempt in range(self.retries + 1):
            try:
                await self._transaction(readings)
                return
            except Exception as error:
                if not is_transient(error) or attempt == self.retries:
                    raise
                log.warning("intake.retried", service=self.service, records=len(readings), error=type(error).__name__)
                await asyncio.sleep(0.02 * 4**attempt)

    async def _transaction(self, readings: Sequence[Reading]) -> None:
        now = self.clock.now()
        received = Counter(reading.source for reading in readings)
        readable: list[tuple[Record, Event]] = []
        letters: list[DeadLetter] = []
        for record, event in readings:
            if isinstance(event, Event):
                readable.append((record, event))
            elif isinstance(event, InvalidEvent):
                letters.append(DeadLetter(record, "dead", event.code, event.detail, event.pointer, event.source))
            else:
                raise event
        async with self.db.transaction() as tx:
            if self.erased is not None:
                readable, letters = await self.erased.sift(tx, readable, letters)
            outcomes, refused = await self._effect(tx, readable)
            letters += refused
            outcomes.update((letter.source, _outcome(letter)) for letter in letters)
            await dead_letters.keep(tx, self.service, letters, now)
            await flow.add(tx, received, outcomes, now)
        self.after_commit()
        self.counts.update(outcome for _, outcome in outcomes.elements())
        self._remember(0, len(readings))
        for letter in letters:
            log.warning("intake.dead", **self._described(letter))

    def _read(self, record: Record) -> Event:
        return read_record(record.topic, record.key, record.value, record.headers, self.clock.now())

    async def _effect(
        self, tx: Tx, readable: Sequence[tuple[Record, Event]]
    ) -> tuple[Counter[tuple[str, flow.Outcome]], list[DeadLetter]]:
        """The outcomes of what was applied or known, and letters for what was refused, not yet counted."""
        admission = await inbox.admit(tx, [event for _, event in readable], self.clock.now())
        places = {topic: place for place, topic in enumerate(self.use_cases)}
        fresh = sorted(admission.fresh, key=lambda event: places[event.topic.name])
        known: list[Event] = []
        refused: list[Rejection] = []
        counts: Counter[tuple[str, flow.Outcome]] = Counter()
        for use_case, events in groupby(fresh, key=lambda event: self.use_cases[event.topic.name]):
            given = list(events)
            outcome = await use_case(tx, given)
            counts.update((event.source, "applied") for event in given)
            known += outcome.duplicates
            refused += outcome.rejected
        await inbox.forget(tx, [rejection.event for rejection in refused])
        counts.subtract((event.source, "applied") for event in known)
        counts.subtract((rejection.event.source, "applied") for rejection in refused)
        counts.update((event.source, "duplicate") for event in [*known, *admission.duplicates])
        rejected = [*admission.conflicts, *refused]
        record_of = {id(event): record for record, event in readable}
        letters = [
            DeadLetter(record_of[id(r.event)], "dead", r.code, r.detail, r.pointer, r.event.source) for r in rejected
        ]
        return counts, letters

    async def _park(self, reading: Reading, error: Exception) -> None:
        now = self.clock.now()
        record, source = reading.record, reading.source
        letter = DeadLetter(record, "parked", "unexpected-error", f"{type(error).__name__} while applying", "", source)
        async with self.db.transaction() as tx:
            if self.erased is not None:
                _, (letter,) = await self.erased.sift(tx, [], [letter])
            await dead_letters.keep(tx, self.service, [letter], now)
            await flow.add(tx, {source: 1}, {(source, _outcome(letter)): 1}, now)
        self.after_commit()
        self.counts[_outcome(letter)] += 1
        self._remember(1, 1)
        log.error("intake.parked", exc_info=error, **self._described(letter))

    def _described(self, letter: DeadLetter) -> dict[str, object]:
        """What a log line says of a letter: nothing of its content, which may be anything."""
        record = letter.record
        trace = parse_traceparent(dict(record.headers).get("traceparent", b"").decode("latin-1"))
        return {
            "service": self.service, "topic": record.topic, "partition": record.partition, "offset": record.offset,
            "code": letter.code, "pointer": letter.pointer, "source": letter.source,
            "trace_id": trace.trace_id if trace else None,
        }  # fmt: skip

    def _remember(self, failed: int, events: int) -> None:
        for _ in range(min(events, WINDOW)):
            if len(self._recent) == WINDOW:
                self._parked -= self._recent[0]
            self._recent.append(failed)
            self._parked += failed

    def _check_failures(self) -> None:
        if self._parked > max(MOST_PARKED, len(self._recent) // 100):
            raise TooManyFailures(f"{self._parked} of the last {len(self._recent)} events failed unexpectedly")



def _outcome(letter: DeadLetter) -> flow.Outcome:
    return "refused" if letter.code == CODE else letter.outcome


def _is_tombstone(record: Record) -> bool:
    """Of a compacted topic of our own: it tells the broker to forget, and nobody else anything."""
    topic = TOPICS.get(record.topic)
    return record.value is None and topic is not None and topic.compacted and bool(topic.publishers)
