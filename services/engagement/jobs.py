"""Periodic work -> use case."""

from datetime import timedelta

from services.engagement.contacts.application import Planner
from services.engagement.contacts.hand_over import HandOver
from shared.jobs import Job


def jobs(planner: Planner, hand_over: HandOver) -> list[Job]:
    """What engagement does by the clock."""
    return [
        # Long enough that a customer whose history is being loaded is planned once in a while, not at every order.
        Job("plan", timedelta(seconds=5), planner.run, planner.next_due),
        Job("hand-over", timedelta(seconds=1), hand_over.run, hand_over.next_due),
    ]
