"""Placing customers: those who are marked, those whom time has moved, and everybody where a rule has changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.profile.policies.application import in_force
from services.profile.purchases.domain import House
from services.profile.segments import catalogue, queue_store, store
from services.profile.segments.announcements import announced
from services.profile.segments.domain import Move, Placement, Segment, built_in, place, was_due
from services.profile.segments.facts import Book, Known
from services.profile.segments.reading import ACTIVITY, known_of
from shared.clock import Clock
from shared.contracts.segments import SegmentCause
from shared.db import Database, Tx
from shared.messaging import merges, outbox
from shared.messaging.events import Event
from shared.messaging.merges import Groups
from shared.service import Wake

SERVICE = "profile"
BATCH = 1000
# More marks than this between two looks, a second apart, is a history being loaded: whoever is in it is marked again
# and again, and placed once in so many seconds.
RUSH = 500
PATIENCE_SECONDS = 20.0
NOBODY_JOINED = Groups()
_TIME: SegmentCause = "time"
FILES, PURCHASES, STANDINGS, CONTACTS = "customers", "purchase_states", "standings", "contacts"
# The last two move nobody.
_MATTERS = {ACTIVITY: ACTIVITY, "consent-changed": FILES, "purchase-rhythm-dropped": FILES}


class Wanted(msgspec.Struct, frozen=True):
    """A customer to be placed in one segment, or in all, as of an instant."""

    customer_id: str
    at: datetime
    cause: SegmentCause
    segment: str | None = None
    silent: bool = False


async def mark_due(tx: Tx, customers: Iterable[str]) -> None:
    """Has these customers placed again within seconds of the commit.

    Whatever writes their file, purchases, standing or group does so already, by a trigger; this is for facts that
    stand elsewhere.
    """
    await queue_store.mark(tx, sorted(set(customers)))


async def note_orders(tx: Tx, fresh: Sequence[Event], groups: Groups) -> None:
    """Notes whose new orders in this transaction, under all ids of a person, are loaded history alone: they move him
    in silence."""
    await _note(tx, PURCHASES, fresh, groups)


async def note_loaded(tx: Tx, customers: Iterable[str]) -> None:
    """Notes that the orders that this transaction changes of these customers are of loaded history alone, as are the
    files that it makes of them."""
    await queue_store.mark(tx, sorted(set(customers)), PURCHASES, backfill=True)


async def orders_are_read(tx: Tx) -> bool:
    """Whether a rule asks for orders as they are counted."""
    return await queue_store.orders_are_read(tx)


async def note_counted(tx: Tx, live: Iterable[str], loaded: Iterable[str]) -> None:
    """Has those placed again whose orders were counted anew, for what was live and for what was loaded."""
    await queue_store.mark(tx, sorted(live), "standing_orders")
    await queue_store.mark(tx, sorted(loaded), "loaded_orders", backfill=True)


async def note_story(tx: Tx, fresh: Sequence[Event], met: Iterable[str]) -> None:
    """Marks the prospects among those who did something: it may show what they intend. Notes of what isn't an order
    whose is loaded history alone.

    ``met``: whose files were made by these events, by whatever they say."""
    if active := {event.data.customer_id for event in fresh if event.topic.name == ACTIVITY}:
        await queue_store.mark(tx, await queue_store.prospects(tx, sorted(active)), ACTIVITY)
    if any(event.backfill for event in fresh):
        strangers = set(met)
        of: dict[str, list[Event]] = {}
        for event in fresh:
            topic = event.topic.name
            matter = _MATTERS.get(topic, CONTACTS if topic.startswith("contact-") else STANDINGS)
            if matter != FILES or event.key in strangers:
                of.setdefault(matter, []).append(event)
        for matter, events in of.items():
            await _note(tx, matter, events, NOBODY_JOINED)


async def _note(tx: Tx, matter: str, fresh: Sequence[Event], groups: Groups) -> None:
    if loaded := {groups.survivor(event.data.customer_id) for event in fresh if event.backfill}:
        live = {groups.survivor(event.data.customer_id) for event in fresh if not event.backfill}
        await queue_store.mark(tx, sorted(loaded - live), matter, backfill=True)


@dataclass(frozen=True, slots=True)
class Placing:
    """The work of the jobs: in batches, each a transaction of its own."""

    db: Database
    clock: Clock
    house: House
    wake: Wake

    async def run(self) -> int:
        """Places who is due; answers how many customers were looked at.

        Marks come first, then time, so that what time would have changed is computed from the newest facts. Everybody
        is placed again a batch at a time in between. Whoever is marked meanwhile may be left for the next time: it
        ends, and time and rules have their turn, however much comes in. In a rush of marks it does nothing until
        somebody has waited ``PATIENCE_SECONDS``.
        """
        return 0 if await self._in_a_rush() else await self._run()

    async def _run(self) -> int:
        done = await self._due()
        while placed := await self._by_new_rules():
            done += placed + await self._due()
        return done

    async def next_due(self) -> datetime | None:
        """Now where somebody is marked or a rule is new, else when time changes a class next."""
        async with self.db.transaction() as tx:
            waiting, at = await store.next_due(tx)
        return self.clock.now() if waiting else at

    async def recompute(self) -> int:
        """Places everybody again from the facts; answers how many placements were other than they should be."""
        await self._run()
        after, wrong = "", 0
        while True:
            async with self.db.transaction() as tx:
                await store.turn(tx)
                page = await store.everybody(tx, after, BATCH)
                now = self.clock.now()
                wrong += await self._place(tx, [Wanted(customer, now, "rule") for customer in page])
            if not page:
                return wrong
            after = page[-1]
            self.wake()

    async def _due(self) -> int:
        done = await self._all_marked()
        while placed := await self._moved_by_time():
            done += placed + await self._all_marked()
        return done

    async def _all_marked(self) -> int:
        done, marked = 0, await self._marked("")
        while marked:
            done += len(marked)
            marked = await self._marked(marked[-1].customer_id) if len(marked) == BATCH else []
        return done

    async def _marked(self, after: str) -> list[queue_store.Marked]:
        async with self.db.transaction() as tx:
            await store.turn(tx)
            # Each time, because what is read below may be newer than the queue, and loud where that was silent.
            await queue_store.gather(tx)
            marked, now = await queue_store.take(tx, after, BATCH), self.clock.now()
            await self._place(tx, [Wanted(m.customer_id, now, m.cause, silent=m.silent) for m in marked])
        self.wake()
        return marked

    async def _in_a_rush(self) -> bool:
        async with self.db.transaction() as tx:
            await store.turn(tx)
            return await queue_store.gather(tx) > RUSH and await queue_store.waited(tx) < PATIENCE_SECONDS

    async def _moved_by_time(self) -> int:
        async with self.db.transaction() as tx:
            await store.turn(tx)
            due = await store.due(tx, self.clock.now(), BATCH)
            await self._place(tx, [Wanted(customer, at, "time", segment) for customer, segment, at in due])
        self.wake()
        return len(due)

    async def _by_new_rules(self) -> int:
        async with self.db.transaction() as tx:
            await store.turn(tx)
            found = await store.unfinished(tx)
            if found is None:
                return 0
            segment, after = found
            page, now = await store.everybody(tx, after, BATCH), self.clock.now()
            moved = await self._place(tx, [Wanted(customer, now, "rule", segment) for customer in page])
            finished = now if len(page) < BATCH else None
            await store.progress(tx, segment, page[-1] if page else after, len(page), moved, finished)
        self.wake()
        return 1

    async def _in_silence(self, tx: Tx, moved: Sequence[Wanted]) -> set[str]:
        """Those of these of whom nothing but loaded history was new when they were read: by their marks, or, where time
        or a rule looked, by marks that still wait. What was committed before the reading has left its marks by now."""
        asked = [one for one in moved if one.silent or one.cause in ("time", "rule")]
        if not asked:
            return set()
        await queue_store.gather(tx)
        waiting = await queue_store.waiting(tx, [one.customer_id for one in asked])
        return {one.customer_id for one in asked if waiting.get(one.customer_id, one.silent)}

    async def _place(self, tx: Tx, wanted: Sequence[Wanted]) -> int:
        """Places customers and publishes their moves; answers how many placements were written."""
        if not wanted:
            return 0
        customers = sorted({one.customer_id for one in wanted})
        groups = await merges.groups_of(tx, customers)
        book = Book(await in_force(tx), self.house)
        segments = {segment.name: segment for segment in [*built_in(book), *await catalogue.own(tx)]}
        people = await known_of(tx, customers, groups, self.house)
        stood = await store.placements(tx, customers)
        standing: dict[tuple[str, str], Placement] = {}
        gone: list[tuple[str, str]] = []
        moves: list[tuple[Wanted, Move, bool]] = []
        for one in wanted:
            person = people.get(one.customer_id)
            for segment in [segments[one.segment]] if one.segment else segments.values():
                key = (one.customer_id, segment.name)
                before = stood.get(key)
                after, made = _stages(one, person, segment, before, book)
                moves += [(one, move, owed) for move, owed in made]
                if after is None and before is not None:
                    gone.append(key)
                elif after is not None and after is not before and after != before:
                    standing[key] = after
        await store.save(tx, standing, gone)
        await store.note(tx, [move for _, move, _ in moves])
        silent = await self._in_silence(tx, [one for one, _, owed in moves if not owed])
        loud = [move for _, move, owed in moves if owed or move.customer_id not in silent]
        said = [event for move in loud for event in announced(move, people.get(move.customer_id), stood, book)]
        await outbox.append(tx, SERVICE, said, self.clock.now())
        return len(standing) + len(gone)


def _stages(
    one: Wanted, person: Known | None, segment: Segment, before: Placement | None, book: Book
) -> tuple[Placement | None, list[tuple[Move, bool]]]:
    """Where a customer stands, and his moves, each with whether time owed it: it would have come without any news.

    Before loaded news has its turn, time has its own, a stage at a time; it owes no more once the news makes another
    stage of what was due.
    """
    moves: list[tuple[Move, bool]] = []
    stands, owed = before, True
    while True:
        due = stands.next_at if one.silent and person and stands else None
        at, cause = (one.at, one.cause) if due is None or due > one.at else (due, _TIME)
        after, move = place(one.customer_id, person, segment, stands, book, at, cause)
        owed = owed and was_due(stands, after, at)
        if move:
            moves.append((move, owed))
        stands = after
        if at == one.at:
            return stands, moves
