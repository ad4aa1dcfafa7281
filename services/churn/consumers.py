"""Topic -> use case. Facts all go to one: a batch is recorded once, and its customers are locked once, in one order.

Merges come first: their lock comes before any other.
"""

from services.churn.scoring.application import Scoring
from services.churn.scoring.merging import Merging
from shared.contracts.topics import INCOMING
from shared.messaging.erasures import Erasing
from shared.messaging.intake import UseCase


def use_cases(scoring: Scoring, merging: Merging, erasing: Erasing) -> dict[str, UseCase]:
    """What churn reads: who is erased, which ids are one person, and all that other systems publish of customers."""
    first: dict[str, UseCase] = {
        "customer-erased": erasing.apply,
        "customer-merged": merging.apply,
        "customer-unmerged": merging.apply,
    }
    return first | {topic: scoring.apply for topic in INCOMING if topic != "product-changed"}
