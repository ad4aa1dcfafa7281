"""Transfers: all SQL that reads or writes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.loyalty.transfers.domain import Transfer, Transferred
from shared.db import Tx, execute, fetch

_ADD = """
INSERT INTO transfers (transfer_id, from_account_id, to_account_id, points, reason, actor, at, named)
VALUES (:transfer_id, :from_account_id, :to_account_id, :points, :reason, :actor, :at, :named)
"""
_ONE = """
SELECT t.transfer_id, t.from_account_id, t.to_account_id, t.points, t.reason, t.actor, t.at, t.named,
       giver.customer_id AS from_customer_id, taker.customer_id AS to_customer_id
FROM transfers AS t JOIN accounts AS giver ON giver.account_id = t.from_account_id
    JOIN accounts AS taker ON taker.account_id = t.to_account_id
WHERE t.transfer_id = :id
"""
# By the index on who gave.
_GIVEN = """
SELECT coalesce(sum(points), 0)::bigint AS points FROM transfers
WHERE from_account_id = ANY(:accounts) AND actor = :actor AND at >= :since
"""
# Who was named may be parted since from who got them.
_UNNAME = """
UPDATE transfers SET named = NULL
WHERE named = ANY(:ids) OR named IS NOT NULL AND to_account_id = ANY(
    ARRAY(SELECT account_id FROM accounts WHERE customer_id = ANY(:names)))
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
        at=transfer.at, named=transfer.named,
    )  # fmt: skip


async def one(tx: Tx, transfer_id: str) -> Transferred | None:
    """That transfer with its customers, or None."""
    rows = await fetch(tx, _ONE, id=transfer_id)
    if not rows:
        return None
    row = rows[0]
    transfer = Transfer(
        row["transfer_id"], row["from_account_id"], row["to_account_id"], row["points"], row["reason"], row["actor"],
        row["at"], row["named"],
    )  # fmt: skip
    return Transferred(transfer, row["from_customer_id"], row["to_customer_id"])


async def given(tx: Tx, accounts: Sequence[int], actor: str, since: datetime) -> int:
    """How many points this actor had these accounts give since then."""
    return int((await fetch(tx, _GIVEN, accounts=list(accounts), actor=actor, since=since))[0]["points"])


async def forget(tx: Tx, names: Mapping[str, str]) -> int:
    """Takes the reasons from the transfers of customers who have got these names, and the ids that they had; how many
    reasons."""
    given = sorted(names.values())
    await execute(tx, _UNNAME, ids=sorted(names), names=given)
    return await execute(tx, _FORGET, names=given)
