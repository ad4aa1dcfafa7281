"""Periodic work -> use case."""

from datetime import timedelta

from services.engagement.contacts.application import Planner
from services.engagement.contacts.hand_over import HandOver
from services.engagement.tasks.verifying import Verifying
from shared.jobs import Job


def jobs(planner: Planner, hand_over: HandOver, verifying: Verifying) -> list[Job]:
    """What engagement does by the clock."""
    return [
        Job("plan", timedelta(seconds=1), planner.run, planner.next_due),
        Job("hand-over", timedelta(seconds=1), hand_over.run, hand_over.next_due),
        Job("verify-files", timedelta(seconds=1), verifying.run, verifying.next_due),
    ]
