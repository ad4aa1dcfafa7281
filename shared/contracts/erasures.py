"""A person who must be forgotten, and who has forgotten him: opaque ids only, nothing in it says who."""

from typing import Annotated, Literal

from msgspec import Meta

from shared.contracts.types import CustomerId, Derived, Id, Instant

PSEUDONYM = "erased~"
"""How the names begin under which orders of erased customers are kept. Nobody's id: events that use one are refused."""


def is_pseudonym(customer_id: str) -> bool:
    """Whether an erasure gave this name: nobody's, whom nothing is done for."""
    return customer_id.startswith(PSEUDONYM)


class CustomerErased(Derived):
    """All that is kept of a person under any of ``customer_ids`` is to be destroyed, and never taken in again."""

    occurred_at: Instant
    erasure_id: Id
    customer_ids: Annotated[tuple[CustomerId, ...], Meta(min_length=1)]


class ErasureCompleted(Derived):
    """A service has destroyed it. ``customer_id`` is the ``erasure_id``: the person's is gone.

    ``counts``: how many rows were destroyed, or kept without a name, by table.
    """

    occurred_at: Instant
    erasure_id: Id
    service: Literal["profile", "engagement", "loyalty", "churn"]
    counts: dict[str, Annotated[int, Meta(ge=0)]]
