"""Coupons and the batches they were issued in."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.loyalty.coupons.codes import Code
from services.loyalty.coupons.domain import Coupon
from shared.contracts.types import Money
from shared.db import Row, Tx, columns, copy, execute, fetch

_COLUMNS = (
    "coupon_id", "code", "customer_id", "bearer", "percent", "discount_minor", "min_spend_minor", "currency",
    "issued_at", "expires_at", "state", "state_at", "due_at", "order_id", "redeemed_by", "redemption_id", "batch_id",
    "voided_at",
)  # fmt: skip
_LIST = ", ".join(_COLUMNS)
_SELECT = f"SELECT {_LIST} FROM coupons"
_BY_CODE = f"{_SELECT} WHERE code = :code"
_LOCK_BY_CODE = f"{_BY_CODE} FOR UPDATE"
_BY_ID = f"{_SELECT} WHERE coupon_id = :coupon"
_LOCK_BY_REDEMPTION = f"{_SELECT} WHERE redemption_id = :redemption FOR UPDATE"
# By their codes, and what these orders have, or have named before: by the index of each, however many there are.
_LOCK_NAMED = f"""
{_SELECT} WHERE coupon_id = ANY(ARRAY(
    SELECT coupon_id FROM coupons WHERE code = ANY(:codes)
    UNION
    SELECT own.coupon_id FROM unnest(CAST(:orders AS text[])) AS o (id), LATERAL (
        SELECT coupon_id FROM coupons WHERE order_id = o.id
        UNION ALL SELECT coupon_id FROM coupon_claims WHERE order_id = o.id OFFSET 0) AS own))
ORDER BY coupon_id FOR UPDATE
"""
_LOCK_LENT = f"""
{_SELECT} WHERE NOT bearer AND coupon_id = ANY(ARRAY(
    SELECT l.coupon_id FROM coupon_claims AS l JOIN coupons AS c USING (coupon_id)
    WHERE l.customer_id = ANY(:customers) AND l.customer_id <> c.customer_id))
ORDER BY coupon_id FOR UPDATE
"""
_OF_REDEMPTIONS = f"{_SELECT} WHERE redemption_id = ANY(:redemptions)"
# By coupons_customer, which is in this order for each of a person's ids.
_PAGE = f"""
{_SELECT} WHERE customer_id = ANY(:ids) AND (issued_at, coupon_id) < (CAST(:at AS timestamptz), CAST(:coupon AS text))
ORDER BY issued_at DESC, coupon_id DESC LIMIT :limit
"""
_OF_BATCH = f"""
{_SELECT} WHERE batch_id = :batch AND coupon_id > CAST(:after AS text) ORDER BY coupon_id LIMIT :limit
"""
_INSERT = f"""
INSERT INTO coupons ({_LIST})
VALUES ({", ".join(f":{name}" for name in _COLUMNS)})
"""
_SAVE = """
UPDATE coupons SET state = new.state, state_at = new.state_at, due_at = new.due_at, order_id = new.order_id,
    redeemed_by = new.redeemed_by, voided_at = new.voided_at
FROM unnest(CAST(:ids AS text[]), CAST(:states AS text[]), CAST(:ats AS timestamptz[]), CAST(:dues AS timestamptz[]),
            CAST(:orders AS text[]), CAST(:users AS text[]), CAST(:voided AS timestamptz[]))
    AS new (coupon_id, state, state_at, due_at, order_id, redeemed_by, voided_at)
WHERE coupons.coupon_id = new.coupon_id
"""
# What is being used at this moment isn't waited for.
_DUE = f"""
{_SELECT} WHERE due_at <= :now ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_NEXT_DUE = "SELECT min(due_at) AS due_at FROM coupons WHERE due_at IS NOT NULL"
_ADD_BATCH = """
INSERT INTO coupon_batches (batch_id, issued_at, expires_at, coupons, reason, body)
VALUES (:batch, :issued, :expires, :coupons, :reason, :body)
"""
_BATCH = "SELECT batch_id, issued_at, expires_at, coupons, reason, body FROM coupon_batches WHERE batch_id = :batch"
_IN_ORDER = "SELECT customer_id FROM unnest(CAST(:customers AS text[])) AS one (customer_id) ORDER BY customer_id"
_NAMES = "unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name)"
# A reason may say who, where nobody else got one.
_SILENCE = """
UPDATE coupon_batches AS b SET reason = ''
WHERE b.batch_id IN (SELECT batch_id FROM coupons WHERE customer_id = ANY(:ids))
  AND NOT EXISTS (SELECT 1 FROM coupons AS c WHERE c.batch_id = b.batch_id AND NOT c.customer_id = ANY(:ids))
"""
_RENAME = f"""
UPDATE coupons SET customer_id = new.name, code = NULL,
    state = CASE WHEN due_at IS NULL THEN state ELSE 'voided' END,
    state_at = CASE WHEN due_at IS NULL THEN state_at ELSE :now END,
    order_id = CASE WHEN due_at IS NULL THEN order_id END,
    voided_at = coalesce(voided_at, :now),
    due_at = NULL
FROM {_NAMES} WHERE customer_id = new.id
"""
_RENAME_USERS = f"UPDATE coupons SET redeemed_by = new.name FROM {_NAMES} WHERE redeemed_by = new.id"


async def by_code(tx: Tx, code: Code) -> Coupon | None:
    """The coupon of a code, or None."""
    return _first(await fetch(tx, _BY_CODE, code=code))


async def lock(tx: Tx, code: Code) -> Coupon | None:
    """The same, for the rest of the transaction ours to change."""
    return _first(await fetch(tx, _LOCK_BY_CODE, code=code))


async def lock_named(tx: Tx, codes: Sequence[str], orders: Sequence[str]) -> list[Coupon]:
    """The coupons of these codes, and those that these orders have, or have named; by their ids, ours to change."""
    return [_coupon(row) for row in await fetch(tx, _LOCK_NAMED, codes=list(codes), orders=list(orders))]


async def lock_lent(tx: Tx, customers: Sequence[str]) -> list[Coupon]:
    """The coupons of other ids that orders of these customers have named; by their ids, ours to change."""
    return [_coupon(row) for row in await fetch(tx, _LOCK_LENT, customers=list(customers))]


async def by_id(tx: Tx, coupon: str) -> Coupon | None:
    """A coupon, or None."""
    return _first(await fetch(tx, _BY_ID, coupon=coupon))


async def lock_of_redemption(tx: Tx, redemption: str) -> Coupon | None:
    """The coupon that a redemption gave, or None; ours to change."""
    return _first(await fetch(tx, _LOCK_BY_REDEMPTION, redemption=redemption))


async def of_redemptions(tx: Tx, redemptions: Sequence[str]) -> list[Coupon]:
    """The coupons that these redemptions gave."""
    return [_coupon(row) for row in await fetch(tx, _OF_REDEMPTIONS, redemptions=list(redemptions))]


async def page(tx: Tx, ids: Sequence[str], before: tuple[datetime, str], limit: int) -> list[Coupon]:
    """Coupons of these ids before (issued_at, coupon_id), the newest first."""
    at, coupon = before
    return [_coupon(row) for row in await fetch(tx, _PAGE, ids=list(ids), at=at, coupon=coupon, limit=limit)]


async def of_batch(tx: Tx, batch: str, after: str, limit: int) -> list[Coupon]:
    """Coupons of a batch, by their ids."""
    return [_coupon(row) for row in await fetch(tx, _OF_BATCH, batch=batch, after=after, limit=limit)]


async def insert(tx: Tx, coupon: Coupon) -> None:
    """One new coupon."""
    await execute(tx, _INSERT, **dict(zip(_COLUMNS, _row(coupon), strict=True)))


async def insert_many(tx: Tx, coupons: Sequence[Coupon]) -> None:
    """Many; after another statement of the transaction."""
    await copy(tx, "coupons", _COLUMNS, map(_row, coupons))


async def save(tx: Tx, coupons: Sequence[Coupon]) -> None:
    """What has become of coupons."""
    rows = [(c.coupon_id, c.state, c.state_at, c.due_at, c.order_id, c.redeemed_by, c.voided_at) for c in coupons]
    ids, states, ats, dues, orders, users, voided = columns(rows, 7)
    await execute(
        tx, _SAVE, ids=ids, states=states, ats=ats, dues=dues, orders=orders, users=users, voided=voided
    )


async def due(tx: Tx, now: datetime, limit: int) -> list[Coupon]:
    """Coupons that time alone has changed, locked."""
    return [_coupon(row) for row in await fetch(tx, _DUE, now=now, limit=limit)]


async def next_due(tx: Tx) -> datetime | None:
    """When time changes the next one."""
    due_at: datetime | None = (await fetch(tx, _NEXT_DUE))[0]["due_at"]
    return due_at


async def in_order(tx: Tx, customers: Sequence[str]) -> list[str]:
    """Customers in the order in which the database locks them, which its collation decides: whoever locks them by and
    by must keep to it."""
    return [row["customer_id"] for row in await fetch(tx, _IN_ORDER, customers=list(customers))]


async def add_batch(
    tx: Tx, batch: str, issued: datetime, expires: datetime, coupons: int, reason: str, body: str
) -> None:  # fmt: skip
    """What so many coupons were issued for."""
    await execute(
        tx, _ADD_BATCH, batch=batch, issued=issued, expires=expires, coupons=coupons, reason=reason, body=body
    )


async def batch(tx: Tx, batch: str) -> Row | None:
    """A batch, or None."""
    rows = await fetch(tx, _BATCH, batch=batch)
    return rows[0] if rows else None


async def rename(tx: Tx, names: Mapping[str, str], now: datetime) -> int:
    """Coupons of these customers by other names, without codes, the open ones void; how many there were."""
    ids, given = columns(sorted(names.items()), 2)
    await execute(tx, _SILENCE, ids=ids)
    await execute(tx, _RENAME_USERS, ids=ids, names=given)
    return await execute(tx, _RENAME, ids=ids, names=given, now=now)


def _row(coupon: Coupon) -> tuple[object, ...]:
    money = coupon.discount or coupon.min_spend
    return (
        coupon.coupon_id,
        coupon.code,
        coupon.customer_id,
        coupon.bearer,
        coupon.percent,
        coupon.discount.minor if coupon.discount else None,
        coupon.min_spend.minor if coupon.min_spend else None,
        money.currency if money else None,
        coupon.issued_at,
        coupon.expires_at,
        coupon.state,
        coupon.state_at,
        coupon.due_at,
        coupon.order_id,
        coupon.redeemed_by,
        coupon.redemption_id,
        coupon.batch_id,
        coupon.voided_at,
    )


def _first(rows: Sequence[Row]) -> Coupon | None:
    return _coupon(rows[0]) if rows else None


def _coupon(row: Row) -> Coupon:
    currency = row["currency"]
    return Coupon(
        coupon_id=row["coupon_id"],
        code=row["code"],
        customer_id=row["customer_id"],
        bearer=row["bearer"],
        percent=row["percent"],
        discount=Money.of(row["discount_minor"], currency) if row["discount_minor"] else None,
        min_spend=Money.of(row["min_spend_minor"], currency) if row["min_spend_minor"] else None,
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        state=row["state"],
        state_at=row["state_at"],
        due_at=row["due_at"],
        order_id=row["order_id"],
        redeemed_by=row["redeemed_by"],
        redemption_id=row["redemption_id"],
        batch_id=row["batch_id"],
        voided_at=row["voided_at"],
    )
