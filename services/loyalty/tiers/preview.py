"""Who would hold another tier by a version that isn't posted: everybody is judged by both, and nothing is written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.programmes.stored import read_programme
from services.loyalty.tiers import store
from services.loyalty.tiers.domain import Ladder, Spend, measures_points, reach
from shared.clock import Clock
from shared.contracts.erasures import PSEUDONYM
from shared.db import Database, Tx

BATCH = 1000
Spends = Mapping[int, Sequence[Spend]]


class Move(msgspec.Struct, frozen=True):
    """A customer who would hold another tier; None is no tier."""

    account_id: int
    customer_id: str
    before: str | None
    after: str | None


class Moves(msgspec.Struct, frozen=True):
    """``counts``: customers by the tier that they hold and the one they would, with those who stay; None on a page that
    isn't the first. ``page``: those who would move, by account; one more than was asked for, where there is one."""

    at: datetime
    programme_version: int | None
    counts: Mapping[tuple[str | None, str | None], int] | None
    page: Sequence[Move]


@dataclass(frozen=True, slots=True)
class TierPreview:
    """Everybody's tier now by the version in force, beside a draft as if that were in force."""

    db: Database
    clock: Clock
    programmes: Programmes

    async def moves(self, draft: dict[str, Any], after: int | None, limit: int) -> Moves:
        """The draft has to be valid. It reads all accounts as of one moment, in batches of 1000, and holds no more than
        a batch and a page; with ``after`` only until the page is full."""
        now = self.clock.now()
        async with self.db.transaction() as tx:
            known = await self.programmes.known(tx)
        current = in_force(known, now)
        tried = read_programme(known[-1].version + 1, now, msgspec.json.encode(draft), self.programmes.zone)
        counts: Counter[tuple[str | None, str | None]] = Counter()
        page: list[Move] = []
        last = after or 0
        async with self.db.transaction() as tx:
            await store.snapshot(tx)
            while persons := await store.persons(tx, last, BATCH):
                last = persons[-1][0]
                ids = [id_ for id_, customer in persons if not customer.startswith(PSEUDONYM)]
                befores, afters = await _held(tx, ids, current, tried, now)
                counts.update((befores.get(id_), afters.get(id_)) for id_ in ids)
                if befores != afters:
                    page += [
                        Move(id_, customer, befores.get(id_), afters.get(id_))
                        for id_, customer in persons
                        if befores.get(id_) != afters.get(id_)
                    ][: limit + 1 - len(page)]
                if after is not None and len(page) > limit:
                    break
        return Moves(now, current.version if current else None, counts if after is None else None, page)


async def _held(
    tx: Tx, ids: Sequence[int], current: Programme | None, tried: Programme, now: datetime
) -> tuple[dict[int, str], dict[int, str]]:
    """The tier of each who holds one, by the one version and by the other; orders of one currency are read once."""
    if current is not None and current.currency == tried.currency:
        found = await _spends(tx, ids, [current, tried], now)
        return _tiers(current, found, now), _tiers(tried, found, now)
    befores = _tiers(current, await _spends(tx, ids, [current], now), now) if current else {}
    return befores, _tiers(tried, await _spends(tx, ids, [tried], now), now)


async def _spends(tx: Tx, ids: Sequence[int], versions: Sequence[Programme], now: datetime) -> Spends:
    """As far back as one of these versions of one currency asks."""
    if not ids or not any(version.tiers for version in versions):
        return {}
    since = now - max(map(reach, versions))
    return await store.spends_of_groups(tx, ids, versions[0].currency, since, any(map(measures_points, versions)))


def _tiers(programme: Programme, spends: Spends, now: datetime) -> dict[int, str]:
    found = ((id_, Ladder(programme, own).at(now)) for id_, own in spends.items())
    return {id_: name for id_, name in found if name is not None}
