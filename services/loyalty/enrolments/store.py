"""Enrolments and their terms."""

from collections.abc import Sequence
from datetime import datetime

from services.loyalty.enrolments.domain import Enrolment, Term
from shared.db import Tx, execute, fetch

_NUMBER = "SELECT nextval('member_numbers') AS number"
_ADD = """
INSERT INTO enrolments (enrolment_id, account_id, member_number, plan, enrolled_at)
VALUES (:id, :account, :number, :plan, :at)
"""
_ADD_TERM = """
INSERT INTO enrolment_terms (enrolment_id, term, since, until, fee_minor, currency, recorded_at)
VALUES (:id, :term, :since, :until, :fee_minor, :currency, :recorded_at)
"""
_CANCEL = "UPDATE enrolments SET cancelled_at = :at WHERE enrolment_id = :id"
_SELECT = """
SELECT e.enrolment_id, a.customer_id, e.member_number, e.plan, e.enrolled_at, e.cancelled_at,
       t.since, t.until, t.fee_minor, t.currency, t.recorded_at
FROM enrolments AS e JOIN accounts AS a USING (account_id) JOIN enrolment_terms AS t USING (enrolment_id)
"""
_OF = f"{_SELECT} WHERE e.account_id = ANY(:accounts) ORDER BY e.enrolment_id, t.term"
_ONE = f"{_SELECT} WHERE e.enrolment_id = :id ORDER BY t.term"
_NUMBERED = f"{_SELECT} WHERE e.member_number = :number ORDER BY t.term"
_LOCK = "SELECT enrolment_id FROM enrolments WHERE enrolment_id = :id FOR UPDATE"
_FORGET = """
DELETE FROM enrolments AS e USING accounts AS a WHERE a.account_id = e.account_id AND a.customer_id = ANY(:ids)
"""


async def next_number(tx: Tx) -> int:
    """A number that nobody else gets; there may be gaps."""
    return int((await fetch(tx, _NUMBER))[0]["number"])


async def add(tx: Tx, account: int, enrolment: Enrolment) -> None:
    """A new enrolment with its first term."""
    await execute(
        tx, _ADD, id=enrolment.enrolment_id, account=account, number=enrolment.member_number, plan=enrolment.plan,
        at=enrolment.enrolled_at,
    )  # fmt: skip
    await add_term(tx, enrolment.enrolment_id, 1, enrolment.terms[0])


async def add_term(tx: Tx, enrolment: str, number: int, term: Term) -> None:
    """The first term, or a renewal."""
    await execute(
        tx, _ADD_TERM, id=enrolment, term=number, since=term.since, until=term.until, fee_minor=term.fee_minor,
        currency=term.currency, recorded_at=term.recorded_at,
    )  # fmt: skip


async def cancel(tx: Tx, enrolment: str, at: datetime) -> None:
    """It ends there."""
    await execute(tx, _CANCEL, id=enrolment, at=at)


async def of(tx: Tx, accounts: Sequence[int]) -> list[Enrolment]:
    """All that these accounts have had."""
    return await _read(tx, _OF, accounts=list(accounts))


async def one(tx: Tx, enrolment: str, *, locked: bool = False) -> Enrolment | None:
    """That enrolment, locked until the transaction ends if asked for."""
    if locked:
        await fetch(tx, _LOCK, id=enrolment)
    found = await _read(tx, _ONE, id=enrolment)
    return found[0] if found else None


async def numbered(tx: Tx, number: str) -> Enrolment | None:
    """The enrolment with this member number."""
    found = await _read(tx, _NUMBERED, number=number)
    return found[0] if found else None


async def forget(tx: Tx, customers: Sequence[str]) -> int:
    """Takes away whose the terms were, and their numbers; how many there were."""
    return await execute(tx, _FORGET, ids=list(customers))


async def _read(tx: Tx, sql: str, **named: object) -> list[Enrolment]:
    found: dict[str, Enrolment] = {}
    terms: dict[str, list[Term]] = {}
    for row in await fetch(tx, sql, **named):
        id = row["enrolment_id"]
        own = terms.setdefault(id, [])
        own.append(Term(row["since"], row["until"], row["fee_minor"], row["currency"], row["recorded_at"]))
        found.setdefault(id, Enrolment(
            id, row["customer_id"], row["member_number"], row["plan"], row["enrolled_at"], row["cancelled_at"], own
        ))  # fmt: skip
    return list(found.values())
