"""The events of merges."""

from shared.contracts.merges import CustomerMerged, CustomerUnmerged
from shared.contracts.types import Cause
from shared.messaging.merges import MergeFact
from shared.messaging.outbox import UNNUMBERED


def announcement(fact: MergeFact, cause: Cause) -> CustomerMerged | CustomerUnmerged:
    """The event of a version of a merge."""
    kind = CustomerMerged if fact.active else CustomerUnmerged
    return kind(
        customer_id=fact.into_id,
        sequence=UNNUMBERED,
        caused_by=cause,
        occurred_at=fact.occurred_at,
        merge_id=fact.merge_id,
        version=fact.version,
        from_id=fact.from_id,
        into_id=fact.into_id,
    )
