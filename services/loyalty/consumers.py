"""Which topic is whose use case. They are called in this order."""

from services.loyalty.earning.application import Earning
from services.loyalty.ledger.replays import Replays
from services.loyalty.merges.application import Joining
from services.loyalty.occasions import application as occasions_
from services.loyalty.occasions import celebrations as celebrations_
from services.loyalty.occasions.application import Occasions
from services.loyalty.occasions.celebrations import Celebrations
from shared.messaging.erasures import Erasing
from shared.messaging.facts import ORDER_KINDS
from shared.messaging.intake import UseCase


def use_cases(
    earning: Earning, joining: Joining, erasing: Erasing, replays: Replays, occasions: Occasions,
    celebrations: Celebrations,
) -> dict[str, UseCase]:  # fmt: skip
    """Every event of an order is one use case's: a batch is judged at once. So are a merge and its undo."""
    return {
        "customer-erased": erasing.apply,
        "points-granted": replays.apply_granted,
        "points-spent": replays.apply_spent,
        "segment-changed": earning.apply_segments,
        **dict.fromkeys(ORDER_KINDS, earning.apply_orders),
        **dict.fromkeys(("customer-merged", "customer-unmerged"), joining.apply_merges),
        **dict.fromkeys(occasions_.TOPICS, occasions.apply),
        # The job that reads what it writes locks accounts first.
        **dict.fromkeys(celebrations_.TOPICS, celebrations.apply_customers),
    }
