"""The proof of the ledger: sums are zero, chains are whole, balances are the lots, and takes and holds are their uses.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from services.loyalty.ledger import entries_store, lots_store
from services.loyalty.ledger.domain import BOOKS, GENESIS, OF_CUSTOMERS, Entry
from services.loyalty.ledger.faults import first_fault
from shared.db import Database, Row

BATCH = 500


class Broken(msgspec.Struct, frozen=True):
    """The first entry that isn't as it was written: its account, its number, and what is wrong. Or, with ``seq`` 0, the
    first ``row`` of a lot, take or hold that the others disagree with."""

    customer_id: str | None
    seq: int
    reason: str
    row: str | None = None


class Verification(msgspec.Struct, frozen=True):
    """How many entries and accounts were read, what each book holds (they sum to zero), and the first fault."""

    entries: int
    accounts: int
    books: dict[str, int]
    broken: Broken | None = None


async def verify(db: Database) -> Verification:
    """Reads the whole ledger as of one moment, and computes every hash and every balance again."""
    books: Counter[str] = Counter(dict.fromkeys(BOOKS, 0))
    entries = accounts = 0
    async with db.transaction() as tx:
        await entries_store.snapshot(tx)
        after = 0
        while heads := await entries_store.heads(tx, after, BATCH):
            ids = [row["account_id"] for row in heads]
            chains: dict[int, list[Entry]] = {}
            for entry in await entries_store.chains(tx, ids):
                chains.setdefault(entry.account_id, []).append(entry)
            posted = await lots_store.posted(tx, ids)
            for row in heads:
                own = chains.get(row["account_id"], [])
                broken = _broken(row, own, posted)
                if broken:
                    return Verification(entries, accounts, dict(books), broken)
                books.update(balances(own))
                entries += len(own)
                accounts += 1
            after = ids[-1]
        if entries != await entries_store.count_entries(tx):
            orphan = await entries_store.orphan(tx)
            broken = Broken(None, orphan[1] if orphan else 0, "it belongs to no account")
            return Verification(entries, accounts, dict(books), broken)
        if fault := await first_fault(tx):
            customer, bad, reason = fault
            return Verification(entries, accounts, dict(books), Broken(customer, 0, reason, bad))
    return Verification(entries, accounts, dict(books))


def balances(entries: Sequence[Entry]) -> Counter[str]:
    """What each book holds after these entries: credits less debits."""
    held: Counter[str] = Counter()
    for entry in entries:
        held[entry.credit] += entry.points
        held[entry.debit] -= entry.points
    return held


def _broken(account: Row, entries: Sequence[Entry], posted: Mapping[tuple[int, str], int]) -> Broken | None:
    customer = account["customer_id"]
    last = GENESIS
    for seq, entry in enumerate(entries, start=1):
        if entry.seq != seq:
            return Broken(customer, seq, "it is missing")
        last = entry.chained(last)
        if entry.hash != last:
            return Broken(customer, seq, "its content and its hash disagree")
    if len(entries) != account["entries"] or last != account["head"]:
        return Broken(customer, len(entries) + 1, "the chain doesn't end where the account says")
    held = balances(entries)
    if min(held[book] for book in OF_CUSTOMERS) < 0 or sum(held.values()) != 0:
        return Broken(customer, len(entries), "the books after it are below zero, or don't sum to zero")
    for book in (*OF_CUSTOMERS, "debt"):
        if held[book] != posted.get((account["account_id"], book), 0):
            return Broken(customer, len(entries), f"the lots say otherwise than the {book} points after it")
    return None
