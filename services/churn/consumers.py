"""Topic -> use case. All go to one: a batch is recorded once, and its customers are locked once, in one order."""

from services.churn.scoring.application import Scoring
from shared.contracts.topics import INCOMING
from shared.messaging.intake import UseCase


def use_cases(scoring: Scoring) -> dict[str, UseCase]:
    """What churn reads: all that other systems publish of customers."""
    return {topic: scoring.apply for topic in INCOMING if topic != "product-changed"}
