"""Statements over HTTP: a customer's token sees his own."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import BaseModel, Field

from services.loyalty.ledger import reading
from services.loyalty.statements import examples
from services.loyalty.statements.application import NotClosedError, Statements
from shared.contracts.types import CUSTOMER_ID
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.problems import conflict, documented, not_found
from shared.http.routing import Router

_MONTH = r"^(19[7-9]|20\d|21\d)\d-(0[1-9]|1[0-2])$"


class Balance(BaseModel):
    """What a customer had and owed."""

    available: int
    pending: int
    held: int
    debt: int


class StatementEntry(BaseModel):
    """What was written down, in the order of the chain: ``changes`` to the balance, and ``text`` by language.
    ``correction``: it happened in an earlier month, and became known in this one."""

    seq: int
    kind: str
    points: int
    changes: dict[str, int]
    occurred_at: datetime
    known_at: datetime
    correction: bool
    origin: str
    source_id: str
    text: dict[str, str]


class StatementExpiry(BaseModel):
    """Points that were free at the end of the month, and when they expire."""

    at: datetime
    points: int


class Chain(BaseModel):
    """The end of the account's chain of hashes at the end of the month: how many entries, and the last one's hash."""

    entries: int
    head: str


class Statement(BaseModel):
    """A month of one id's account, by what was known when it closed; opening and all changes come to closing.
    ``expiring``: within 60 days."""

    version: int
    customer_id: str
    month: str
    time_zone: str
    since: datetime = Field(alias="from")
    closed_at: datetime
    opening: Balance
    entries: list[StatementEntry]
    closing: Balance
    expiring: list[StatementExpiry]
    chain: Chain


class StatementDocument(BaseModel):
    """``signature``: a JWS (Ed25519) over the SHA-256 of the statement as JSON with sorted keys and without spaces.
    `./roost statement verify FILE` checks it offline."""

    statement: Statement
    signature: str


class StatementMonth(BaseModel):
    """A month of one of the person's ids that has a statement."""

    customer_id: str
    month: str
    closed_at: datetime


class StatementMonths(BaseModel):
    """The newest first."""

    items: list[StatementMonth]


def router(db: Database, statements: Statements) -> Router:
    """``/accounts/{customer_id}/statements``."""
    routes = Router(tags=["statements"])
    shown: dict[int | str, dict[str, Any]] = {
        200: {
            "content": {
                "application/json": {
                    "examples": {
                        "months": {"value": examples.MONTHS}, "a month": {"value": examples.DOCUMENT},
                    }
                }
            },
            "model": StatementDocument | StatementMonths,
        },
        409: documented(409),
    }  # fmt: skip

    @routes.get("/accounts/{customer_id}/statements", responses=shown, response_model=None)
    async def read_statements(
        customer_id: Annotated[str, Path(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))],
        principal: Annotated[Principal, requires("loyalty:read")],
        month: Annotated[
            str | None, Query(pattern=_MONTH, description="2026-10: that statement, signed; without it, the months")
        ] = None,
    ) -> Response | StatementMonths:
        """The months that there are statements of; or the statement of one, ever the same once its month has closed.
        409 `month-open` until ten minutes after that."""
        async with db.transaction() as tx:
            holder = await reading.holder_of(tx, customer_id)
            own_or_404(principal, customer_id, *holder.ids)
            if not holder.accounts:
                raise not_found()
            if month is None:
                closed = await statements.months(tx, holder.ids)
                return StatementMonths(
                    items=[
                        StatementMonth(customer_id=one.customer_id, month=f"{one.month:%Y-%m}", closed_at=one.closed_at)
                        for one in closed
                    ]
                )
            try:
                document = await statements.one(tx, customer_id, date.fromisoformat(f"{month}-01"))
            except LookupError:
                raise not_found() from None
            except NotClosedError as error:
                ready = error.ready_at.isoformat()
                raise conflict("month-open", f"The statement is there from {ready} on.", ready_at=ready) from None
        return Response(document, media_type="application/json")

    return routes
