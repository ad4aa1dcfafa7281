"""Accounts over HTTP: a customer's token sees his own."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.loyalty.accounts import examples
from services.loyalty.accounts.application import Accounts, AccountView
from services.loyalty.accounts.explanations import Explanation, shown
from services.loyalty.ledger import reading
from services.loyalty.ledger.domain import Bucket, Entry, Lot
from services.loyalty.ledger.reading import Holder
from services.loyalty.openapi import answers, page
from services.loyalty.tiers.domain import Standing
from shared.clock import Clock
from shared.contracts.types import CUSTOMER_ID, decimal_of
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires
from shared.http.pagination import Page, PageRequest
from shared.http.problems import not_found
from shared.http.routing import Router

_BEGIN, _END = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

CustomerId = Annotated[str, Path(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))]
Reader = Annotated[Principal, requires("loyalty:read")]
Moment = Annotated[AwareDatetime, Field(ge=_BEGIN, le=_END)]


class MoneyView(BaseModel):
    """An amount of a currency."""

    amount: str
    currency: str


class MeasureView(BaseModel):
    """Something that a tier asks for: spend in minor units, points, orders, or whole days of tenure."""

    measure: str
    reached: int
    asked: int
    missing: int


class Progress(BaseModel):
    """What was spent within the window, and what is missing to the next tier; null at the top. ``measures``: all that
    the next tier asks for, or at the top what the held one does."""

    spend: MoneyView
    next: str | None
    missing: MoneyView | None
    measures: list[MeasureView] = []


class Projection(BaseModel):
    """The next change of tier if nothing more is bought; null is no tier."""

    name: str | None
    at: datetime


class TierView(BaseModel):
    """The tier held now. ``projected`` is null where it will never change by itself."""

    name: str
    since: datetime
    progress: Progress
    projected: Projection | None


class Expiring(BaseModel):
    """The next points to expire."""

    next_at: datetime | None
    points: int


class AccountBody(BaseModel):
    """A loyalty account now. ``lifetime_earned``: everything ever awarded, less reversals.

    ``merged_into``: the id that answers for this one. Whichever is asked for, the answer is of all ids together.
    """

    model_config = ConfigDict(json_schema_extra={"example": examples.ACCOUNT})

    customer_id: str
    merged_into: str | None = None
    available: int
    pending: int
    held: int
    debt: int
    lifetime_earned: int
    tier: TierView | None
    expiring: Expiring


class BalanceBody(BaseModel):
    """What the ledger's entries of what had happened by ``as_of`` and was known by ``known_by`` come to.

    As they were written down: what a return took of points that were pending when it happened, and available when it
    was heard of, is taken off the available ones.
    """

    model_config = ConfigDict(json_schema_extra={"example": examples.BALANCE})

    customer_id: str
    as_of: datetime
    known_by: datetime
    available: int
    pending: int
    held: int
    debt: int
    expired: int


class EntryView(BaseModel):
    """An entry: points from the book ``debit`` to the book ``credit``, when it happened and when we knew.

    ``customer_id``: the id whose chain it is in; ``seq`` counts there.
    """

    customer_id: str
    seq: int
    kind: str
    debit: str
    credit: str
    points: int
    origin: str = Field(description="order, take, or what gave the points beside orders")
    order_id: str | None
    source_id: str
    programme_version: int | None
    occurred_at: datetime
    known_at: datetime
    caused_by: dict[str, str]
    hash: str = Field(description="SHA-256 over the hash before it and this entry, hexadecimal")


class LotView(BaseModel):
    """The points of one order or grant: where they are now, and their dates. ``free`` of them can be, or will be,
    used; ``owed``: by how much what was used is more than what returns left."""

    origin: str
    order_id: str | None
    source_id: str
    points: int
    reversed: int
    free: int
    spent: int
    held: int
    repaid: int
    owed: int
    state: Bucket
    occurred_at: datetime
    available_from: datetime
    expires_at: datetime | None
    programme_version: int | None


def router(db: Database, clock: Clock, accounts: Accounts) -> Router:
    """``/accounts/{customer_id}`` and what lies below it."""
    routes = Router(prefix="/accounts/{customer_id}", tags=["accounts"])

    @routes.get("", response_model=AccountBody)
    async def account(customer_id: CustomerId, principal: Reader) -> AccountBody:
        """The account as it stands now."""
        async with db.transaction() as tx:
            holder = await _own(tx, principal, customer_id)
            return _account(customer_id, holder.survivor, await accounts.view(tx, holder))

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
        return BalanceBody(
            customer_id=customer_id,
            as_of=as_of,
            known_by=known_by,
            available=books.get("available", 0),
            pending=books.get("pending", 0),
            held=books.get("held", 0),
            debt=-books.get("debt", 0),
            expired=books.get("expired", 0),
        )

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
        items = [_entry(entry, holder.customers[entry.account_id]) for entry in rows[: paging.limit]]
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
        return Page(items=[_lot(lot, now) for lot in rows[: paging.limit]], next_cursor=cursor)

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


def _account(customer_id: str, survivor: str, view: AccountView) -> AccountBody:
    balance = view.balance
    return AccountBody(
        customer_id=customer_id,
        merged_into=None if survivor == customer_id else survivor,
        available=balance.available,
        pending=balance.pending,
        held=balance.held,
        debt=balance.debt,
        lifetime_earned=balance.lifetime_earned,
        tier=_tier(view.standing, view.currency) if view.standing else None,
        expiring=Expiring(next_at=balance.next_at, points=balance.expiring),
    )


def _tier(standing: Standing, currency: str) -> TierView:
    projected = standing.projected
    return TierView(
        name=standing.name,
        since=standing.since,
        progress=Progress(
            spend=_money(standing.spend, currency),
            next=standing.next,
            missing=_money(standing.missing, currency) if standing.next else None,
            measures=[
                MeasureView(measure=one.measure, reached=one.reached, asked=one.asked, missing=one.missing)
                for one in standing.measured
            ],
        ),
        projected=Projection(name=projected.to, at=projected.at) if projected else None,
    )


def _money(minor: int, currency: str) -> MoneyView:
    return MoneyView(amount=decimal_of(minor, currency), currency=currency)


def _entry(entry: Entry, customer_id: str) -> EntryView:
    return EntryView(
        customer_id=customer_id,
        seq=entry.seq,
        kind=entry.kind,
        debit=entry.debit,
        credit=entry.credit,
        points=entry.points,
        origin=entry.origin,
        order_id=entry.source_id if entry.origin == "order" else None,
        source_id=entry.source_id,
        programme_version=entry.programme_version,
        occurred_at=entry.occurred_at,
        known_at=entry.known_at,
        caused_by={"source": entry.cause_source, "id": entry.cause_id},
        hash=entry.hash.hex(),
    )


def _lot(lot: Lot, now: datetime) -> LotView:
    award = lot.award
    return LotView(
        origin=award.origin,
        order_id=award.source_id if award.origin == "order" else None,
        source_id=award.source_id,
        points=award.points,
        reversed=award.reversed,
        free=lot.posted,
        spent=lot.spent,
        held=lot.held,
        repaid=lot.repaid,
        owed=lot.owed,
        state=award.bucket(now),
        occurred_at=award.occurred_at,
        available_from=award.available_from,
        expires_at=award.expires_at,
        programme_version=award.programme_version,
    )
