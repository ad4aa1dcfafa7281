"""Two ids of one person, joined and parted again: nothing in it says who."""

from typing import Annotated, Literal

from msgspec import Meta

from shared.contracts.types import CustomerId, Derived, Id, Instant


class Merge(Derived):
    """A merge at a version: the highest version of a ``merge_id`` holds. ``customer_id`` is ``into_id``."""

    occurred_at: Instant
    merge_id: Id
    version: Annotated[int, Meta(ge=1)]
    from_id: CustomerId
    into_id: CustomerId


class CustomerMerged(Merge):
    """``from_id`` is another id of ``into_id``, the survivor, from now on."""


class CustomerUnmerged(Merge):
    """It isn't, after all: both are as if they had never been joined, and later edits stay with ``into_id``."""


class MergeApplied(Derived):
    """A service has taken a version of a merge in. ``customer_id`` is the merge's ``into_id``."""

    occurred_at: Instant
    merge_id: Id
    version: Annotated[int, Meta(ge=1)]
    service: Literal["profile", "engagement", "loyalty", "churn"]
