"""Quotes and redemptions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.loyalty.redemptions.domain import HOLD, QUOTE, Quote, Redemption, Terms
from shared.contracts.types import Money
from shared.db import Part, Row, Tx, execute, fetch
from shared.messaging import merges
from shared.messaging.merges import SHARED

_TERMS = "reward_id, reward_version, points, price, order_id"
_QUOTE = f"quote_id, account_id, {_TERMS}, created_at, expires_at"
_ADD_QUOTES = f"""
INSERT INTO quotes ({_QUOTE})
SELECT new.* FROM said, jsonb_to_recordset(said.all -> 'quotes')
    AS new (quote_id text, account_id bigint, reward_id text, reward_version int, points bigint, price jsonb,
            order_id text, created_at timestamptz, expires_at timestamptz)
"""
_ONE_QUOTE = f"SELECT {_QUOTE} FROM quotes WHERE quote_id = :id"
# Once points are held, it is whose they were then: a merge or its undo may have come between.
_QUOTED = f"""
SELECT {", ".join("q." + name for name in _QUOTE.split(", "))}, a.customer_id, {SHARED}::text
FROM quotes AS q LEFT JOIN holds AS h ON h.hold_id = '{HOLD}' || substr(q.quote_id, {len(QUOTE) + 1})
    JOIN accounts AS a ON a.account_id = coalesce(h.account_id, q.account_id)
WHERE q.quote_id = ANY(:ids)
"""
_CUSTOMER_OF_HOLD = """
SELECT a.customer_id FROM holds AS h JOIN accounts AS a USING (account_id) WHERE h.hold_id = :id
"""
_CUSTOMER_OF = """
SELECT a.customer_id FROM redemptions AS r JOIN accounts AS a USING (account_id) WHERE r.redemption_id = :id
"""
_REDEMPTION = f"""
redemption_id, account_id, {_TERMS}, hold_id, coupon_id, redeemed_at, rolled_back_at, rolled_back_because, fulfilment,
fulfilment_at, due_at
"""
_ADD = f"""
INSERT INTO redemptions ({_REDEMPTION})
SELECT new.* FROM said, jsonb_to_recordset(said.all -> 'redemptions')
    AS new (redemption_id text, account_id bigint, reward_id text, reward_version int, points bigint, price jsonb,
            order_id text, hold_id text, coupon_id text, redeemed_at timestamptz, rolled_back_at timestamptz,
            rolled_back_because text, fulfilment text, fulfilment_at timestamptz, due_at timestamptz)
"""
_ONE = f"SELECT {_REDEMPTION} FROM redemptions WHERE redemption_id = :id"
_LOCK = f"{_ONE} FOR UPDATE"
_CHANGE = """
UPDATE redemptions SET rolled_back_at = :rolled_back_at, rolled_back_because = :because, fulfilment = :fulfilment,
    fulfilment_at = :fulfilment_at
WHERE redemption_id = :id
"""
_PAGE = f"""
SELECT {_REDEMPTION} FROM redemptions
WHERE account_id = ANY(:accounts) AND (redeemed_at, redemption_id) < (:at, :id)
ORDER BY redeemed_at DESC, redemption_id DESC LIMIT :limit
"""
# As the partial index has it.
_DUE = """
due_at IS NOT NULL AND overdue_told_at IS NULL AND rolled_back_at IS NULL AND fulfilment IN ('open', 'sent')
"""
_OVERDUE = f"""
WITH late AS (
    SELECT redemption_id FROM redemptions WHERE due_at <= :now AND {_DUE} ORDER BY due_at LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE redemptions AS r SET overdue_told_at = :now FROM late, accounts AS a
WHERE r.redemption_id = late.redemption_id AND a.account_id = r.account_id
RETURNING a.customer_id, r.redemption_id, r.reward_id, r.due_at
"""
_NEXT_OVERDUE = f"SELECT min(due_at) AS at FROM redemptions WHERE {_DUE}"


def added(quotes: Sequence[Quote], redemptions: Sequence[Redemption]) -> list[Part]:
    """New quotes and redemptions, to be written with whatever else is."""
    return [
        Part("quotes", _ADD_QUOTES, [_with_terms(quote) for quote in quotes]),
        Part("redemptions", _ADD, [_with_terms(redemption) for redemption in redemptions]),
    ]


async def quote(tx: Tx, quote_id: str) -> Quote | None:
    """That quote, or None."""
    rows = await fetch(tx, _ONE_QUOTE, id=quote_id)
    return _quote(rows[0]) if rows else None


async def quoted(tx: Tx, ids: Sequence[str]) -> dict[str, tuple[Quote, str]]:
    """Those of these quotes that there are, by id, and whose each is, or what is held of it. As after ``merges.share``
    no merge changes any group."""
    rows = await fetch(tx, _QUOTED, ids=list(ids))
    if not rows:
        await merges.share(tx)
    return {row["quote_id"]: (_quote(row), row["customer_id"]) for row in rows}


async def customer_of_hold(tx: Tx, hold_id: str) -> str | None:
    """Whose hold it is, or None where there is none; so with redemptions."""
    return _one_name(await fetch(tx, _CUSTOMER_OF_HOLD, id=hold_id))


async def customer_of(tx: Tx, redemption_id: str) -> str | None:
    """Whose redemption it is."""
    return _one_name(await fetch(tx, _CUSTOMER_OF, id=redemption_id))


async def one(tx: Tx, redemption_id: str) -> Redemption | None:
    """That redemption, or None."""
    rows = await fetch(tx, _ONE, id=redemption_id)
    return _redemption(rows[0]) if rows else None


async def lock(tx: Tx, redemption_id: str) -> Redemption | None:
    """The same, locked; accounts are locked before."""
    rows = await fetch(tx, _LOCK, id=redemption_id)
    return _redemption(rows[0]) if rows else None


async def change(tx: Tx, redemption: Redemption) -> None:
    """Writes back what may change of it."""
    await execute(
        tx, _CHANGE, id=redemption.redemption_id, rolled_back_at=redemption.rolled_back_at,
        because=redemption.rolled_back_because, fulfilment=redemption.fulfilment,
        fulfilment_at=redemption.fulfilment_at,
    )  # fmt: skip


async def page(tx: Tx, accounts: Sequence[int], before: tuple[datetime, str], limit: int) -> list[Redemption]:
    """Those of these accounts before (redeemed_at, redemption_id), the newest first."""
    rows = await fetch(tx, _PAGE, accounts=list(accounts), at=before[0], id=before[1], limit=limit)
    return [_redemption(row) for row in rows]


async def tell_overdue(tx: Tx, now: datetime, limit: int) -> Sequence[Row]:
    """Notes as told what is overdue and wasn't: customer_id, redemption_id, reward_id, due_at."""
    return await fetch(tx, _OVERDUE, now=now, limit=limit)


async def next_overdue(tx: Tx) -> datetime | None:
    """When the next becomes overdue."""
    at: datetime | None = (await fetch(tx, _NEXT_OVERDUE))[0]["at"]
    return at


def _with_terms(of: Quote | Redemption) -> dict[str, Any]:
    row = msgspec.structs.asdict(of)
    return {**row, **msgspec.structs.asdict(row.pop("terms"))}


def _terms(row: Row) -> Terms:
    price = msgspec.convert(row["price"], Money) if row["price"] else None
    return Terms(row["points"], row["reward_id"], row["reward_version"], price, row["order_id"])


def _quote(row: Row) -> Quote:
    return Quote(row["quote_id"], row["account_id"], _terms(row), row["created_at"], row["expires_at"])


def _redemption(row: Row) -> Redemption:
    return Redemption(
        row["redemption_id"], row["account_id"], _terms(row), row["redeemed_at"], row["hold_id"], row["coupon_id"],
        row["fulfilment"], row["fulfilment_at"], row["due_at"], row["rolled_back_at"], row["rolled_back_because"],
    )  # fmt: skip


def _one_name(rows: Sequence[Row]) -> str | None:
    return rows[0]["customer_id"] if rows else None
