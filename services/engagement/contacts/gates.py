"""The gates a contact passes at hand-off, and what follows from those that are shut."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from services.engagement.contacts.domain import Contact
from services.engagement.contacts.planning import month_cap, welcome_until
from services.engagement.contacts.timing import Taken, is_quiet, next_open, place
from services.engagement.customers.domain import Customer
from services.engagement.policies.domain import MARKETING, Policies

Gate = Literal[
    "at-risk", "not-bought", "in-time", "complaint", "quiet-hours", "caps", "reachability", "consent", "address",
    "provider", "restricted",
]  # fmt: skip


class Decision(msgspec.Struct, frozen=True):
    """What one gate said: by which policy version, from which fact, and when it would open at the earliest."""

    gate: Gate
    passed: bool
    policy: str
    policy_version: int
    fact: str
    earliest_at: datetime | None = None


class Reach(msgspec.Struct, frozen=True):
    """Profile's answer for a customer and a channel."""

    address: str | None
    consent: bool
    name: str | None = None
    locale: str | None = None


class Send(msgspec.Struct, frozen=True):
    """Every gate is open."""

    address: str


class Postpone(msgspec.Struct, frozen=True):
    """Not now: at the earliest then."""

    until: datetime


class Suppress(msgspec.Struct, frozen=True):
    """Not at all."""

    reason: str


class ByStaff(msgspec.Struct, frozen=True):
    """A person shall see to it."""


Verdict = Send | Postpone | Suppress | ByStaff


class Situation(msgspec.Struct, frozen=True):
    """What the gates look at. ``reach`` is None where the channel has no provider and profile wasn't asked."""

    customer: Customer
    taken: Taken
    complaint_open: bool
    reach: Reach | None
    now: datetime


def judge(contact: Contact, at: Situation, policies: Policies) -> tuple[Verdict, list[Decision]]:
    """Every gate's decision, and the verdict: what forbids outweighs what delays, and that what diverts."""
    decisions = [
        *_restricted(at, policies),
        *_reasons_left(contact, at, policies),
        *_complaint(contact, at, policies),
        _quiet_hours(at, policies),
        *_caps(contact, at, policies),
        *_reach(contact, at, policies),
    ]
    shut = {decision.gate: decision for decision in decisions if not decision.passed}
    route = policies.channels.policy.purposes[contact.purpose]
    if "restricted" in shut:
        return Suppress("restricted"), decisions
    if "not-bought" in shut:
        return Suppress("bought"), decisions
    if "at-risk" in shut:
        return Suppress("risk-lowered"), decisions
    if "in-time" in shut:
        return Suppress("too-late"), decisions
    if "complaint" in shut:
        return Suppress("complaint-open"), decisions
    if until := [d.earliest_at for d in shut.values() if d.earliest_at]:
        return Postpone(max(until)), decisions
    if at.reach is not None and at.reach.address and at.reach.consent:
        return Send(at.reach.address), decisions
    if route.fallback == "staff" and not at.customer.refuses("staff", route.consent):
        return ByStaff(), decisions
    return Suppress("no-address" if "consent" not in shut else "no-consent"), decisions


def _restricted(at: Situation, policies: Policies) -> Sequence[Decision]:
    if not at.customer.file.restricted:
        return ()
    return (Decision("restricted", False, "channels", policies.channels.number, "the file is stored and not used"),)


def _reasons_left(contact: Contact, at: Situation, policies: Policies) -> Sequence[Decision]:
    if contact.purpose == "welcome":
        until = welcome_until(at.customer, policies)
        in_time = contact.pinned or until is None or at.now <= until
        return (Decision("in-time", in_time, "welcome", policies.welcome.number, f"welcome until {_shown(until)}"),)
    if contact.purpose != "win-back":
        return ()
    version, risk, last = policies.win_back.number, at.customer.risk, at.customer.purchases.last_at
    bought = last is not None and risk.raised_at is not None and last > risk.raised_at
    return (
        Decision("not-bought", not bought, "win-back", version, f"last purchase {_shown(last)}"),
        Decision("at-risk", risk.band != "low", "win-back", version, f"risk band {risk.band}"),
    )


def _complaint(contact: Contact, at: Situation, policies: Policies) -> Sequence[Decision]:
    if policies.channels.policy.purposes[contact.purpose].consent != MARKETING:
        return ()
    fact = "a complaint is open" if at.complaint_open else "no complaint is open"
    return (Decision("complaint", not at.complaint_open, "complaints", policies.complaints.number, fact),)


def _quiet_hours(at: Situation, policies: Policies) -> Decision:
    version = policies.quiet_hours
    zone = at.taken.zone
    fact = f"{at.now.astimezone(zone):%H:%M} in {zone.key}; quiet {version.policy.start}-{version.policy.end}"
    quiet = is_quiet(at.now, version.policy, zone)
    earliest = next_open(at.now, version.policy, zone) if quiet else None
    return Decision("quiet-hours", not quiet, "quiet-hours", version.number, fact, earliest)


def _caps(contact: Contact, at: Situation, policies: Policies) -> Sequence[Decision]:
    caps = policies.caps
    if contact.purpose in caps.policy.exempt:
        return ()
    per_month = month_cap(at.customer, policies.cadence.policy, at.now)
    room = at.taken.has_room(at.now, caps.policy, per_month)
    today = at.now.astimezone(at.taken.zone).date()
    week = sum(at.taken.dates[today - timedelta(days=n)] for n in range(7))
    fact = f"{at.taken.dates[today]} contacts that day, {week} in seven days"
    earliest = None if room else place(at.now, at.taken, policies.quiet_hours.policy, caps.policy, per_month)
    return (Decision("caps", room, "caps", caps.number, fact, earliest),)


def _reach(contact: Contact, at: Situation, policies: Policies) -> Sequence[Decision]:
    version = policies.channels.number
    purpose = policies.channels.policy.purposes[contact.purpose].consent
    if at.reach is None:
        fact = f"nobody delivers by {contact.channel} here"
        return (Decision("provider", False, "channels", version, fact),)
    consent = "given" if at.reach.consent else "not given"
    return (
        Decision("consent", at.reach.consent, "channels", version, f"consent to {contact.channel}/{purpose} {consent}"),
        Decision(
            "address", bool(at.reach.address), "channels", version,
            f"an address for {contact.channel}" if at.reach.address else f"no address for {contact.channel}",
        ),
    )  # fmt: skip


def _shown(at: datetime | None) -> str:
    return at.isoformat(timespec="minutes") if at else "none"
