"""Adjustments: all SQL that reads or writes them."""

from collections.abc import Sequence
from datetime import datetime

from services.loyalty.adjustments.domain import Adjusted, Adjustment, State
from shared.db import Row, Tx, execute, fetch

_ADJUSTMENT = (
    "adjustment_id, account_id, points, reason, expires_at, state, proposed_by, proposed_at, decided_by, decided_at"
)
_ADD = f"""
INSERT INTO adjustments ({_ADJUSTMENT})
VALUES (:adjustment_id, :account_id, :points, :reason, :expires_at, :state, :proposed_by, :proposed_at, NULL, NULL)
"""
_WITH_CUSTOMER = f"SELECT {_ADJUSTMENT}, customer_id FROM adjustments JOIN accounts USING (account_id)"
_ONE = f"{_WITH_CUSTOMER} WHERE adjustment_id = :id"
_LOCK = f"{_ONE} FOR UPDATE OF adjustments"
_DECIDE = """
UPDATE adjustments SET state = :state, decided_by = :by, decided_at = :at WHERE adjustment_id = :id
"""
_BEFORE = """
AND (proposed_at, adjustment_id) < (:at, :id) ORDER BY proposed_at DESC, adjustment_id DESC LIMIT :limit
"""
_PAGE = f"{_WITH_CUSTOMER} WHERE true {_BEFORE}"
_PAGE_OF_STATE = f"{_WITH_CUSTOMER} WHERE state = :state {_BEFORE}"
# By the index on accounts.
_ALONE = """
SELECT coalesce(sum(abs(points)), 0)::bigint AS points FROM adjustments
WHERE account_id = ANY(:accounts) AND proposed_by = :by AND proposed_at >= :since
    AND state = 'applied' AND decided_by IS NULL
"""
_FORGET = """
UPDATE adjustments AS d SET reason = NULL,
    state = CASE d.state WHEN 'proposed' THEN 'refused' ELSE d.state END,
    decided_at = CASE d.state WHEN 'proposed' THEN :now ELSE d.decided_at END
FROM accounts AS a WHERE a.account_id = d.account_id AND a.customer_id = ANY(:names)
"""


async def add(tx: Tx, adjustment: Adjustment) -> None:
    """A new one."""
    await execute(
        tx, _ADD, adjustment_id=adjustment.adjustment_id, account_id=adjustment.account_id, points=adjustment.points,
        reason=adjustment.reason, expires_at=adjustment.expires_at, state=adjustment.state,
        proposed_by=adjustment.proposed_by, proposed_at=adjustment.proposed_at,
    )  # fmt: skip


async def one(tx: Tx, adjustment_id: str) -> Adjusted | None:
    """That one with its customer, or None."""
    rows = await fetch(tx, _ONE, id=adjustment_id)
    return _adjusted(rows[0]) if rows else None


async def lock(tx: Tx, adjustment_id: str) -> Adjusted | None:
    """The same, locked."""
    rows = await fetch(tx, _LOCK, id=adjustment_id)
    return _adjusted(rows[0]) if rows else None


async def decide(tx: Tx, adjustment: Adjustment) -> None:
    """Writes down what was decided."""
    await execute(
        tx, _DECIDE, id=adjustment.adjustment_id, state=adjustment.state, by=adjustment.decided_by,
        at=adjustment.decided_at,
    )  # fmt: skip


async def page(tx: Tx, state: State | None, before: tuple[datetime, str], limit: int) -> list[Adjusted]:
    """Those of a state, or all, before (proposed_at, adjustment_id), the newest first."""
    at, id = before
    if state is None:
        rows = await fetch(tx, _PAGE, at=at, id=id, limit=limit)
    else:
        rows = await fetch(tx, _PAGE_OF_STATE, state=state, at=at, id=id, limit=limit)
    return [_adjusted(row) for row in rows]


async def applied_alone(tx: Tx, accounts: Sequence[int], by: str, since: datetime) -> int:
    """How many points somebody has given and taken, in sum, of these accounts since then without a second person."""
    return int((await fetch(tx, _ALONE, accounts=list(accounts), by=by, since=since))[0]["points"])


async def forget(tx: Tx, names: Sequence[str], now: datetime) -> int:
    """Takes the reasons from the adjustments of these customers, and refuses what is proposed."""
    return await execute(tx, _FORGET, names=list(names), now=now)


def _adjusted(row: Row) -> Adjusted:
    adjustment = Adjustment(
        row["adjustment_id"], row["account_id"], row["points"], row["reason"], row["expires_at"], row["state"],
        row["proposed_by"], row["proposed_at"], row["decided_by"], row["decided_at"],
    )  # fmt: skip
    return Adjusted(adjustment, row["customer_id"])
