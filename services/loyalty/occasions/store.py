"""What occasions gave, and the days of the year that customers keep: all SQL that reads or writes them."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from services.loyalty.occasions.domain import Celebrated, Line
from services.loyalty.programmes.rules import On
from shared.db import Row, Tx, columns, execute, fetch

_GIFT = (
    "token", "rule", "kind", "account_id", "occurred_at", "day", "programme_version", "wanted", "points", "coupon_id",
    "celebrated", "celebrated_year",
)  # fmt: skip
_ADD = f"""
INSERT INTO occasion_gifts ({', '.join(_GIFT)})
SELECT * FROM unnest(
    CAST(:token AS text[]), CAST(:rule AS text[]), CAST(:kind AS text[]), CAST(:account_id AS bigint[]),
    CAST(:occurred_at AS timestamptz[]), CAST(:day AS date[]), CAST(:programme_version AS int[]),
    CAST(:wanted AS bigint[]), CAST(:points AS bigint[]), CAST(:coupon_id AS text[]), CAST(:celebrated AS text[]),
    CAST(:celebrated_year AS int[]))
"""
_KNOWN = "SELECT token, rule, occurred_at FROM occasion_gifts WHERE token = ANY(:tokens)"
_LINE = ("token", "rule", "account_id", "occurred_at", "day", "programme_version", "wanted", "points")
# By the index on account, rule and day.
_LINES = f"""
SELECT {', '.join(_LINE)} FROM occasion_gifts
WHERE account_id = ANY(:accounts) AND rule = ANY(:rules) AND day >= :since
"""
_CHANGE = """
UPDATE occasion_gifts AS g SET occurred_at = new.occurred_at, day = new.day, programme_version = new.version,
    wanted = new.wanted, points = new.points
FROM unnest(CAST(:tokens AS text[]), CAST(:rules AS text[]), CAST(:ats AS timestamptz[]), CAST(:days AS date[]),
            CAST(:versions AS int[]), CAST(:wanted AS bigint[]), CAST(:points AS bigint[]))
    AS new (token, rule, occurred_at, day, version, wanted, points)
WHERE g.token = new.token AND g.rule = new.rule
"""
_CELEBRATED = """
SELECT account_id, kind, celebrated, celebrated_year, day FROM occasion_gifts
WHERE account_id = ANY(:accounts) AND celebrated IS NOT NULL
"""
_FORGET_GIFTS = """
UPDATE occasion_gifts AS g SET celebrated = NULL, celebrated_year = NULL
FROM accounts AS a WHERE a.account_id = g.account_id AND a.customer_id = ANY(:names) AND g.celebrated IS NOT NULL
"""
_DATES = (
    "customer_id", "sequence", "birthday", "zone", "since", "restricted", "birthday_at", "anniversary_at",
)  # fmt: skip
_OF = f"SELECT {', '.join(_DATES)} FROM celebrations WHERE customer_id = ANY(:customers)"
_SAVE = f"""
INSERT INTO celebrations AS c ({', '.join(_DATES)})
SELECT * FROM unnest(
    CAST(:customer_id AS text[]), CAST(:sequence AS bigint[]), CAST(:birthday AS text[]), CAST(:zone AS text[]),
    CAST(:since AS timestamptz[]), CAST(:restricted AS boolean[]), CAST(:birthday_at AS timestamptz[]),
    CAST(:anniversary_at AS timestamptz[]))
ON CONFLICT (customer_id) DO UPDATE SET sequence = excluded.sequence, birthday = excluded.birthday,
    zone = excluded.zone, since = excluded.since, restricted = excluded.restricted,
    birthday_at = excluded.birthday_at, anniversary_at = excluded.anniversary_at
WHERE c.sequence < excluded.sequence
"""
_DUE = {
    on: f"""
SELECT {', '.join(_DATES)} FROM celebrations
WHERE {on}_at IS NOT NULL AND {on}_at <= :now ORDER BY {on}_at, customer_id LIMIT :limit
"""
    for on in ("birthday", "anniversary")
}
# A day that was changed meanwhile stays as it is.
_ADVANCE = {
    on: f"""
UPDATE celebrations AS c SET {on}_at = new.following
FROM unnest(CAST(:customers AS text[]), CAST(:dues AS timestamptz[]), CAST(:followings AS timestamptz[]))
    AS new (customer_id, due, following)
WHERE c.customer_id = new.customer_id AND c.{on}_at = new.due
"""
    for on in ("birthday", "anniversary")
}
_NEXT = {on: f"SELECT min({on}_at) AS at FROM celebrations" for on in ("birthday", "anniversary")}
_FORGET = "DELETE FROM celebrations WHERE customer_id = ANY(:ids)"


class Dates(msgspec.Struct, frozen=True):
    """The yearly days of a customer, and when each begins next; ``zone`` is his own, if he has one."""

    customer_id: str
    sequence: int
    birthday: str | None
    zone: str | None
    since: datetime | None
    restricted: bool
    birthday_at: datetime | None = None
    anniversary_at: datetime | None = None


async def known(tx: Tx, tokens: Sequence[str]) -> dict[str, dict[str, datetime]]:
    """Those occasions of these that something was given on: by which rules, and when it happened."""
    found: dict[str, dict[str, datetime]] = {}
    for row in await fetch(tx, _KNOWN, tokens=list(tokens)):
        found.setdefault(row["token"], {})[row["rule"]] = row["occurred_at"]
    return found


async def lines(tx: Tx, accounts: Sequence[int], rules: Sequence[str], since: date) -> list[Line]:
    """What these rules gave these accounts from a day on."""
    rows = await fetch(tx, _LINES, accounts=list(accounts), rules=list(rules), since=since)
    return [Line(*(row[name] for name in _LINE)) for row in rows]


async def change(tx: Tx, lines: Sequence[Line]) -> None:
    """Writes when it happened, and what a cap left."""
    rows = sorted((one.token, one.rule, one.occurred_at, one.day, one.version, one.wanted, one.points) for one in lines)
    names = ("tokens", "rules", "ats", "days", "versions", "wanted", "points")
    await execute(tx, _CHANGE, **dict(zip(names, columns(rows, len(names)), strict=True)))


async def celebrated(tx: Tx, accounts: Sequence[int]) -> list[tuple[int, On, Celebrated]]:
    """The yearly days on which these accounts were given something."""
    return [
        (row["account_id"], row["kind"], Celebrated(row["celebrated"], row["celebrated_year"], row["day"]))
        for row in await fetch(tx, _CELEBRATED, accounts=list(accounts))
    ]


async def add(tx: Tx, gifts: Sequence[tuple[Line, On, str | None, Celebrated | None]]) -> None:
    """Writes down lines that nothing is known of: each with its occasion, its coupon and its day of the year."""
    rows: list[tuple[Any, ...]] = []
    for line, on, coupon, kept in gifts:
        name, year = (kept.name, kept.year) if kept else (None, None)
        rows.append(
            (line.token, line.rule, on, line.account_id, line.occurred_at, line.day, line.version, line.wanted,
             line.points, coupon, name, year)
        )  # fmt: skip
    rows.sort()
    await execute(tx, _ADD, **dict(zip(_GIFT, columns(rows, len(_GIFT)), strict=True)))


async def dates_of(tx: Tx, customers: Sequence[str]) -> dict[str, Dates]:
    """The yearly days of these customers."""
    return {row["customer_id"]: _dates(row) for row in await fetch(tx, _OF, customers=list(customers))}


async def save(tx: Tx, dates: Sequence[Dates]) -> None:
    """Writes them, where they are newer."""
    rows = [msgspec.structs.astuple(one) for one in sorted(dates, key=lambda one: one.customer_id)]
    await execute(tx, _SAVE, **dict(zip(_DATES, columns(rows, len(_DATES)), strict=True)))


async def due(tx: Tx, on: On, now: datetime, limit: int) -> list[Dates]:
    """Those whose day has begun, the longest ago first."""
    return [_dates(row) for row in await fetch(tx, _DUE[on], now=now, limit=limit)]


async def advance(tx: Tx, on: On, rows: Sequence[tuple[str, datetime, datetime | None]]) -> None:
    """Writes (customer, due, the next) of days that have passed."""
    customers, dues, followings = columns(sorted(rows), 3)
    await execute(tx, _ADVANCE[on], customers=customers, dues=dues, followings=followings)


async def next_due(tx: Tx, on: On) -> datetime | None:
    """When the next day begins."""
    at: datetime | None = (await fetch(tx, _NEXT[on]))[0]["at"]
    return at


async def forget(tx: Tx, ids: Sequence[str], names: Sequence[str]) -> int:
    """Deletes the days of erased ids, also those that gifts tell of their accounts, which have their names by then."""
    await execute(tx, _FORGET_GIFTS, names=list(names))
    return await execute(tx, _FORGET, ids=list(ids))


def _dates(row: Row) -> Dates:
    return Dates(*(row[name] for name in _DATES))
