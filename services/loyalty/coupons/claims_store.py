"""Orders that name coupons, and what their facts say of codes."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime

import msgspec

from services.loyalty.coupons.claims import Claim
from services.loyalty.coupons.codes import Code, read_codes
from shared.db import Row, Tx, columns, execute, fetch
from shared.messaging.facts import PURCHASE

_CLAIM = (
    "coupon_id", "order_id", "customer_id", "occurred_at", "stands", "backfill", "waived_at", "given", "told",
    "conflict", "reserved_until",
)  # fmt: skip
_LIST = ", ".join(_CLAIM)
_TYPES = (
    "text", "text", "text", "timestamptz", "boolean", "boolean", "timestamptz", "boolean", "boolean", "text",
    "timestamptz",
)  # fmt: skip
_ARRAYS = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in zip(_CLAIM, _TYPES, strict=True))
# Under the lock on their coupons.
_OF_COUPONS = f"SELECT {_LIST} FROM coupon_claims WHERE coupon_id = ANY(:coupons) ORDER BY coupon_id, order_id"
_IS_GIVEN = "SELECT 1 AS given FROM coupon_claims WHERE coupon_id = :coupon AND given"
_SAVE = f"""
INSERT INTO coupon_claims ({_LIST}) SELECT {_LIST} FROM unnest({_ARRAYS}) AS new ({_LIST})
ON CONFLICT (coupon_id, order_id)
DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _CLAIM[2:])}
"""
_END_WAIVER = """
UPDATE coupon_claims SET waived_at = NULL
WHERE coupon_id = :coupon AND order_id = :order AND waived_at IS NOT NULL
"""
_SAID = """
SELECT kind, key, version, CASE WHEN kind = 'purchase-recorded' THEN body END AS body FROM facts
WHERE kind IN ('purchase-recorded', 'purchase-cancelled') AND key = ANY(:orders) ORDER BY key, version
"""
_CONFLICTS = f"""
SELECT {_LIST} FROM coupon_claims
WHERE conflict IS NOT NULL AND (occurred_at, coupon_id, order_id) < (CAST(:at AS timestamptz), :coupon, :order)
ORDER BY occurred_at DESC, coupon_id DESC, order_id DESC LIMIT :limit
"""
_RENAME = """
UPDATE coupon_claims SET customer_id = new.name
FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name) WHERE customer_id = new.id
"""


class _Named(msgspec.Struct):
    coupon_codes: tuple[str, ...] = ()


class Said(msgspec.Struct, frozen=True):
    """What an order's facts say: the codes that its highest version names, all that any of them named, and whether it
    was cancelled."""

    names: Set[Code]
    named: Set[Code]
    cancelled: bool


_purchases = msgspec.json.Decoder(_Named)


async def of_coupons(tx: Tx, coupons: Sequence[str]) -> dict[str, dict[str, Claim]]:
    """The claims on coupons that are locked, by coupon and order."""
    found: dict[str, dict[str, Claim]] = {coupon: {} for coupon in coupons}
    for row in await fetch(tx, _OF_COUPONS, coupons=list(coupons)):
        found[row["coupon_id"]][row["order_id"]] = _claim(row)
    return found


async def is_given(tx: Tx, coupon: str) -> bool:
    """Whether an order has the coupon by what its purchase said."""
    return bool(await fetch(tx, _IS_GIVEN, coupon=coupon))


async def save(tx: Tx, claims: Sequence[Claim]) -> None:
    """New claims, and what has become of others; their coupons are locked."""
    rows = [msgspec.structs.astuple(claim) for claim in claims]
    await execute(tx, _SAVE, **dict(zip(_CLAIM, columns(rows, len(_CLAIM)), strict=True)))


async def end_waiver(tx: Tx, coupon: str, order: str) -> None:
    """An order that gave a locked coupon back has it again."""
    await execute(tx, _END_WAIVER, coupon=coupon, order=order)


async def said_of(tx: Tx, orders: Sequence[str]) -> dict[str, Said]:
    """What is known of these orders; nothing of those that no purchase or cancellation was heard of."""
    names: dict[str, set[Code]] = {}
    named: dict[str, set[Code]] = {}
    cancelled: set[str] = set()
    for row in await fetch(tx, _SAID, orders=list(orders)):
        order = row["key"]
        if row["kind"] == PURCHASE:
            names[order] = read_codes(_purchases.decode(row["body"]).coupon_codes)
            named[order] = named.get(order, set()) | names[order]
        else:
            cancelled.add(order)
    return {
        order: Said(names.get(order, set()), named.get(order, set()), order in cancelled)
        for order in names.keys() | cancelled
    }


async def conflicts(tx: Tx, before: tuple[datetime, str, str], limit: int) -> list[Claim]:
    """Claims by orders that don't have the coupon, before (occurred_at, coupon, order), the newest order first."""
    at, coupon, order = before
    return [_claim(row) for row in await fetch(tx, _CONFLICTS, at=at, coupon=coupon, order=order, limit=limit)]


async def rename(tx: Tx, names: Mapping[str, str]) -> int:
    """Claims of erased customers by other names; how many there were."""
    ids, given = columns(sorted(names.items()), 2)
    return await execute(tx, _RENAME, ids=ids, names=given)


def _claim(row: Row) -> Claim:
    return Claim(*(row[name] for name in _CLAIM))
