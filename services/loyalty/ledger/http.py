"""The ledger's proof over HTTP."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from services.loyalty.ledger.verification import verify
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.problems import conflict, documented
from shared.http.routing import Router


class VerificationBody(BaseModel):
    """The ledger is whole. ``books``: credits less debits of each; they sum to ``sum``, which is 0."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": True,
                "entries": 3,
                "accounts": 1,
                "books": {"pending": 45, "available": 320, "expired": 0, "issued": -365, "reversed": 0},
                "sum": 0,
            }
        }
    )

    ok: bool
    entries: int
    accounts: int
    books: dict[str, int]
    sum: int


def router(db: Database) -> Router:
    """``/ledger/verification``."""
    routes = Router(prefix="/ledger", tags=["ledger"])

    @routes.get("/verification", response_model=VerificationBody, responses={409: documented(409)})
    async def verification(principal: Annotated[Principal, staff_only("loyalty:read")]) -> VerificationBody:
        """Computes every hash and every balance again; 409 `ledger-broken` names the first bad entry, or
        row of a lot, take or hold."""
        found = await verify(db)
        if found.broken:
            broken = found.broken
            entry = {"customer_id": broken.customer_id, "seq": broken.seq, "reason": broken.reason}
            if broken.row is not None:
                bad = {"customer_id": broken.customer_id, "row": broken.row, "reason": broken.reason}
                raise conflict("ledger-broken", f"{broken.row}: {broken.reason}.", first_bad_row=bad)
            raise conflict("ledger-broken", f"Entry {broken.seq}: {broken.reason}.", first_bad_entry=entry)
        return VerificationBody(
            ok=True,
            entries=found.entries,
            accounts=found.accounts,
            books=found.books,
            sum=sum(found.books.values()),
        )

    return routes
