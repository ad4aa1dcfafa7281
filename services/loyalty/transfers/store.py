"""Transfers: all SQL that reads or writes them."""

from collections.abc import Sequence

from services.loyalty.transfers.domain import Transfer, Transferred
from shared.db import Tx, execute, fetch

_ADD = """
INSERT INTO transfers (transfer_id, from_account_id, to_account_id, points, reason, actor, at)
VALUES (:transfer_id, :from_account_id, :to_account_id, :points, :reason, :actor, :at)
"""
_ONE = """
SELECT t.transfer_id, t.from_account_id, t.to_account_id, t.points, t.reason, t.actor, t.at,
       giver.customer_id AS from_customer_id, taker.customer_id AS to_customer_id
FROM transfers AS t JOIN accounts AS giver ON giver.account_id = t.from_account_id
    JOIN accounts AS taker ON taker.account_id = t.to_account_id
WHERE t.transfer_id = :id
"""
# By the two indexes on accounts.
_FORGET = """
WITH forgotten AS MATERIALIZED (SELECT account_id FROM accounts WHERE customer_id = ANY(:names))
UPDATE transfers SET reason = NULL
WHERE reason IS NOT NULL AND (from_account_id = ANY(ARRAY(SELECT account_id FROM forgotten))
    OR to_account_id = ANY(ARRAY(SELECT account_id FROM forgotten)))
"""


async def add(tx: Tx, transfer: Transfer) -> None:
    """A new one."""
    await execute(
        tx, _ADD, transfer_id=transfer.transfer_id, from_account_id=transfer.from_account_id,
        to_account_id=transfer.to_account_id, points=transfer.points, reason=transfer.reason, actor=transfer.actor,
        at=transfer.at,
    )  # fmt: skip


async def one(tx: Tx, transfer_id: str) -> Transferred | None:
    """That transfer with its customers, or None."""
    rows = await fetch(tx, _ONE, id=transfer_id)
    if not rows:
        return None
    row = rows[0]
    transfer = Transfer(
        row["transfer_id"], row["from_account_id"], row["to_account_id"], row["points"], row["reason"], row["actor"],
        row["at"],
    )  # fmt: skip
    return Transferred(transfer, row["from_customer_id"], row["to_customer_id"])


async def forget(tx: Tx, names: Sequence[str]) -> int:
    """Takes the reasons from the transfers of these customers."""
    return await execute(tx, _FORGET, names=list(names))
