"""The rates, version by version, the rate that each order has, and which orders wait for one."""

from collections.abc import Sequence
from datetime import date

import msgspec

from services.profile.rates.domain import LONGEST, Rate, Rates
from shared.db import Reader, Tx, columns, execute, fetch

# Whoever gives orders their rates shares it, whoever states one has it alone: an order that found none has been
# written down before the next rate is stated, so none is missed.
_SHARE = "SELECT pg_advisory_xact_lock_shared(hashtextextended('roost.rates', 0))"
_HOLD = "SELECT pg_advisory_xact_lock(hashtextextended('roost.rates', 0))"
# Of those that cover the day the one stated for the latest days; of a correction the newest version alone.
_COVERING = """
SELECT valid_from, version FROM (
    SELECT DISTINCT ON (valid_from) valid_from, version, valid_to FROM rates
    WHERE currency = {currency} AND valid_from <= {day} AND valid_from > {day} - CAST(:longest AS integer)
    ORDER BY valid_from DESC, version DESC) AS newest
WHERE valid_to >= {day} ORDER BY valid_from DESC LIMIT 1
"""
_PIN = f"""
INSERT INTO order_rates (order_id, currency, day, valid_from, version)
SELECT o.order_id, o.currency, o.day, r.valid_from, r.version
FROM unnest(CAST(:orders AS text[]), CAST(:currencies AS text[]), CAST(:days AS date[])) AS o (order_id, currency, day)
LEFT JOIN LATERAL ({_COVERING.format(currency="o.currency", day="o.day")}) AS r ON true
ORDER BY o.order_id
ON CONFLICT DO NOTHING
"""
_FIELDS = "r.currency, r.valid_from, r.valid_to, r.version, r.rate, r.source, r.stated_at"
_PINNED = f"""
SELECT p.order_id, {_FIELDS}
FROM unnest(CAST(:orders AS text[]), CAST(:currencies AS text[]), CAST(:days AS date[])) AS o (order_id, currency, day)
JOIN order_rates AS p USING (order_id, currency, day)
JOIN rates AS r ON (r.currency, r.valid_from, r.version) = (p.currency, p.valid_from, p.version)
"""
_ON = f"""
SELECT {_FIELDS} FROM rates AS r JOIN ({_COVERING.format(currency="CAST(:currency AS text)",
                                                          day="CAST(:day AS date)")}) AS c USING (valid_from, version)
WHERE r.currency = :currency
"""
_FORGET = "DELETE FROM order_rates WHERE order_id = ANY(:orders)"
_ADD = """
INSERT INTO rates (currency, valid_from, valid_to, version, rate, source, stated_at)
VALUES (:currency, :valid_from, :valid_to, :version, :rate, :source, :stated_at)
"""
_ANNOUNCE = "INSERT INTO new_rates (currency, valid_from, valid_to) VALUES (:currency, :valid_from, :valid_to)"
_VERSIONS = f"""
SELECT {_FIELDS} FROM rates AS r WHERE currency = :currency AND valid_from = :valid_from ORDER BY version DESC
"""
_PAGE = f"""
SELECT DISTINCT ON (r.currency, r.valid_from) {_FIELDS} FROM rates AS r
WHERE (CAST(:currency AS text) IS NULL OR r.currency = :currency)
  AND (CAST(:since AS date) IS NULL OR (r.currency, r.valid_from) > (:after, :since))
ORDER BY r.currency, r.valid_from, r.version DESC LIMIT :limit
"""
_NEW = "SELECT id, currency, valid_from, valid_to FROM new_rates ORDER BY id LIMIT 1 FOR UPDATE"
_DONE = "DELETE FROM new_rates WHERE id = :id"
_ANY_NEW = "SELECT EXISTS (SELECT FROM new_rates) AS any"
_TAKE = f"""
UPDATE order_rates AS p SET valid_from = w.valid_from, version = w.version
FROM (SELECT o.order_id, o.currency, o.day, r.valid_from, r.version
      FROM order_rates AS o CROSS JOIN LATERAL ({_COVERING.format(currency="o.currency", day="o.day")}) AS r
      WHERE o.currency = :currency AND o.day BETWEEN :since AND :until AND o.version IS NULL
      ORDER BY o.order_id LIMIT :limit FOR UPDATE OF o) AS w
WHERE (p.order_id, p.currency, p.day) = (w.order_id, w.currency, w.day)
RETURNING p.order_id
"""

Wanted = tuple[str, str, date]
"""An order, its currency, its day of the house."""


async def pinned(tx: Tx, wanted: Sequence[Wanted]) -> Rates:
    """The rates that these orders have. One that had none before has from now on the one of its day, if there is."""
    orders, currencies, days = columns(sorted(set(wanted)), 3)
    await fetch(tx, _SHARE)
    await execute(tx, _PIN, orders=orders, currencies=currencies, days=days, longest=LONGEST)
    return {
        row["order_id"]: msgspec.convert({name: row[name] for name in Rate.__struct_fields__}, Rate)
        for row in await fetch(tx, _PINNED, orders=orders, currencies=currencies, days=days)
    }


async def on(reader: Reader, currency: str, day: date) -> Rate | None:
    """The rate that a day has now, if there is one."""
    found = await fetch(reader, _ON, currency=currency, day=day, longest=LONGEST)
    return Rate(**found[0]) if found else None


async def forget(tx: Tx, orders: Sequence[str]) -> None:
    """Drops what is kept of orders that are no more."""
    await execute(tx, _FORGET, orders=orders)


async def hold(tx: Tx) -> None:
    """Has this transaction alone state rates, and no order get one meanwhile."""
    await fetch(tx, _HOLD)


async def add(tx: Tx, rate: Rate) -> None:
    """Writes a version."""
    await execute(tx, _ADD, **msgspec.structs.asdict(rate))
    await execute(tx, _ANNOUNCE, currency=rate.currency, valid_from=rate.valid_from, valid_to=rate.valid_to)


async def versions(tx: Tx, currency: str, valid_from: date) -> list[Rate]:
    """What was stated from a day on, the newest first."""
    return [Rate(**row) for row in await fetch(tx, _VERSIONS, currency=currency, valid_from=valid_from)]


async def page(tx: Tx, currency: str | None, after: tuple[str, date] | None, limit: int) -> list[Rate]:
    """The newest versions by currency and first day."""
    last, since = after or (None, None)
    return [Rate(**row) for row in await fetch(tx, _PAGE, currency=currency, after=last, since=since, limit=limit)]


async def any_new(tx: Tx) -> bool:
    """Whether orders may wait for a rate that was stated."""
    return bool((await fetch(tx, _ANY_NEW))[0]["any"])


async def take(tx: Tx, limit: int) -> list[str] | None:
    """Gives some of the orders that waited for the oldest new rate theirs, and answers which; None without a new one.

    A rate for which nobody waits any more is no longer new.
    """
    found = await fetch(tx, _NEW)
    if not found:
        return None
    new = found[0]
    rows = await fetch(
        tx, _TAKE, currency=new["currency"], since=new["valid_from"], until=new["valid_to"], limit=limit,
        longest=LONGEST,
    )  # fmt: skip
    if len(rows) < limit:
        await execute(tx, _DONE, id=new["id"])
    return [row["order_id"] for row in rows]
