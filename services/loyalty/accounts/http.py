"""Accounts over HTTP: a customer's token sees his own."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AwareDatetime, Field

from services.loyalty.accounts import examples
from services.loyalty.accounts.application import Accounts
from services.loyalty.accounts.bodies import AccountBody, account_body
from services.loyalty.accounts.explanations import Explanation, shown
from services.loyalty.accounts.ledger_bodies import (
    BalanceBody,
    EntryView,
    LotView,
    balance_body,
    entry_view,
    lot_view,
)
from services.loyalty.ledger import reading
from services.loyalty.ledger.reading import Holder
from services.loyalty.openapi import answers, page
from shared.clock import Clock
from shared.contracts.types import CUSTOMER_ID
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires
from shared.http.pagination import Page, PageRequest
from shared.http.problems import not_found
from shared.http.routing import Router

_BEGIN, _END = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

CustomerId = Annotated[str, Path(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))]
Reader = Annotated[Principal, requires("loyalty:read")]
Moment = Annotated[AwareDatetime, Field(ge=_BEGIN, le=_END)]


def router(db: Database, clock: Clock, accounts: Accounts) -> Router:
    """``/accounts/{customer_id}`` and what lies below it."""
    routes = Router(prefix="/accounts/{customer_id}", tags=["accounts"])

    @routes.get("", response_model=AccountBody)
    async def account(customer_id: CustomerId, principal: Reader) -> AccountBody:
        """The account as it stands now."""
        async with db.transaction() as tx:
            holder = await _own(tx, principal, customer_id)
            return account_body(customer_id, holder.survivor, await accounts.view(tx, holder))

    @routes.get("/balance", response_model=BalanceBody)
    async def balance(
        customer_id: CustomerId,
        principal: Reader,
        as_of: Annotated[Moment | None, Query(description="only what had happened by then; by default by now")] = None,
        known_by: Annotated[Moment | None, Query(description="only what was known by then; by default by now")] = None,
    ) -> BalanceBody:
        """The balance as it was, by what was known then: the fold of the entries."""
        now = clock.now()
        as_of, known_by = as_of or now, known_by or now
        async with db.transaction() as tx:
            holder = await _own(tx, principal, customer_id)
            books = await reading.books_at(tx, holder.accounts, as_of, known_by)
        return balance_body(customer_id, as_of, known_by, books)

    @routes.get("/entries", response_model=Page[EntryView], responses=page(examples.ENTRY))
    async def entries(
        customer_id: CustomerId,
        principal: Reader,
        paging: PageRequest,
        as_of: Annotated[Moment | None, Query(description="only what had happened by then")] = None,
        known_by: Annotated[Moment | None, Query(description="only what was known by then")] = None,
    ) -> Page[EntryView]:
        """The account's entries, the newest first."""
        before = paging.after(tuple[datetime, int, int]) or (_END, 0, 0)
        async with db.transaction() as tx:
            holder = await _own(tx, principal, customer_id)
            rows = await reading.entries_of(
                tx,
                holder.accounts,
                before=before,
                as_of=as_of or _END,
                known_by=known_by or _END,
                limit=paging.limit + 1,
            )
        cursor = paging.next_cursor(rows, lambda entry: (entry.known_at, entry.account_id, entry.seq))
        items = [entry_view(entry, holder.customers[entry.account_id]) for entry in rows[: paging.limit]]
        return Page(items=items, next_cursor=cursor)

    @routes.get("/lots", response_model=Page[LotView], responses=page(examples.LOT))
    async def lots(customer_id: CustomerId, principal: Reader, paging: PageRequest) -> Page[LotView]:
        """The account's lots as they are now, the newest first; those without points, of which nothing is used,
        left out."""
        before = paging.after(tuple[datetime, str]) or (_END, "")
        async with db.transaction() as tx:
            await reading.at_one_moment(tx)
            now = clock.now()
            holder = await _own(tx, principal, customer_id)
            rows = await reading.lots_page(tx, holder.accounts, before, paging.limit + 1, now)
        cursor = paging.next_cursor(rows, lambda lot: (lot.award.occurred_at, lot.award.source_id))
        return Page(items=[lot_view(lot, now) for lot in rows[: paging.limit]], next_cursor=cursor)

    @routes.get("/explanation", response_model=Explanation, responses=answers(examples.EXPLANATION))
    async def explanation(customer_id: CustomerId, principal: Reader) -> Explanation:
        """Where every point of the balance comes from, and where every other one went."""
        async with db.transaction() as tx:
            await reading.at_one_moment(tx)
            explained = await accounts.explanation(tx, await _own(tx, principal, customer_id))
        return shown(explained)

    return routes


async def _own(tx: Tx, principal: Principal, customer_id: str) -> Holder:
    holder = await reading.holder_of(tx, customer_id)
    own_or_404(principal, customer_id, *holder.ids)
    if not holder.accounts:
        raise not_found()
    return holder
