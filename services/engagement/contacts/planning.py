"""The plan: which contacts a customer should have, and when. A pure function of what is known at an instant."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from services.engagement.contacts.domain import Contact, Wanted
from services.engagement.contacts.timing import Taken, place, zone_of
from services.engagement.customers.domain import Because, Customer
from services.engagement.policies.domain import Cadence, Policies, Rhythm, TenureStep
from shared.contracts.contacts import ContactPurpose
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.customers import ContactChannel
from shared.contracts.types import scaled

PLANNED_HERE: tuple[ContactPurpose, ...] = ("win-back", "welcome", "cadence")
"""The purposes whose contacts the plan makes, moves and takes back, in order of their claim to a free date."""


def plan(
    customer: Customer, contacts: Sequence[Contact], policies: Policies, now: datetime, house_zone: str
) -> list[Wanted]:
    """The contacts that should be open besides those already fixed (due, in hand, set by staff), soonest claim first.

    ``contacts``: the customer's open ones, and those closed that still count: within the last month, the last of
    each purpose. Deterministic; the same again at any instant before the first of its times.
    """
    taken = taken_by(customer, [c for c in contacts if not c.is_open or c.is_fixed(now)], policies, house_zone)
    wishes = (
        _win_back(customer, contacts, policies, now),
        _welcome(customer, contacts, policies, now),
        _cadence(customer, contacts, policies, now),
    )
    fixed = {contact.purpose for contact in contacts if contact.is_fixed(now)}
    wanted: list[Wanted] = []
    per_month = month_cap(customer, policies.cadence.policy, now)
    for wish in wishes:
        if wish is None or wish.purpose in fixed:
            continue
        due_at = wish.due_at
        if wish.purpose in policies.caps.policy.exempt:
            due_at = place(due_at, Taken((), taken.zone), policies.quiet_hours.policy, policies.caps.policy)
        else:
            due_at = place(due_at, taken, policies.quiet_hours.policy, policies.caps.policy, per_month)
            taken.add(due_at)
        if wish.purpose == "welcome" and (until := welcome_until(customer, policies)) and due_at > until:
            continue
        wanted.append(
            Wanted(
                wish.purpose, wish.channel, due_at, wish.policy_version, wish.reasons, wish.episode, wish.episode_of
            )
        )
    return wanted


def taken_by(
    customer: Customer, contacts: Sequence[Contact], policies: Policies, house_zone: str
) -> Taken:
    """The dates that these contacts take under the caps: made ones when they were made, open ones when due."""
    exempt = policies.caps.policy.exempt
    instants = [
        contact.made_at or contact.due_at
        for contact in contacts
        if contact.purpose not in exempt and (contact.made_at or contact.is_open)
    ]
    return Taken(instants, zone_of(customer.file.time_zone, house_zone))


def interval(customer: Customer, cadence: Cadence, now: datetime) -> tuple[timedelta, Because]:
    """How often the customer is contacted, and by which of his wish, his way of buying, his tenure."""
    for source in cadence.precedence:
        if source == "wish" and (days := customer.file.preferred_every_days):
            return timedelta(days=max(1, days)), Because("own-wish", f"asked to hear every {days} days")
        if source == "rhythm" and (rhythm := rhythm_of(customer, cadence)):
            text = f"buys {rhythm.name.replace('-', ' ')}: every {rhythm.every_days} days"
            return timedelta(days=rhythm.every_days), Because(rhythm.name, text)
        if source == "tenure":
            break
    step = tenure_step(customer, cadence, now)
    known = f"{_tenure_days(customer, now)} days of tenure" if customer.known_since else "tenure unknown"
    text = f"{known}: every {step.every_days} days"
    return timedelta(days=step.every_days), Because("tenure", text)


def tenure_step(customer: Customer, cadence: Cadence, now: datetime) -> TenureStep:
    """The step of the customer's tenure at ``now``; the last of an old one's of whom nothing tells how old."""
    if customer.known_since is None and customer.is_old:
        return cadence.tenure[-1]
    days = _tenure_days(customer, now)
    return next(step for step in reversed(cadence.tenure) if step.from_days <= days)


def month_cap(customer: Customer, cadence: Cadence, now: datetime) -> int | None:
    """The most contacts in a calendar month; the customer's own wish knows none."""
    if cadence.precedence[0] == "wish" and customer.file.preferred_every_days:
        return None
    return tenure_step(customer, cadence, now).per_month


def rhythm_of(customer: Customer, cadence: Cadence) -> Rhythm | None:
    """The way of buying that the customer's gaps and orders show; None while they show none."""
    bought = customer.purchases
    gap = bought.gap_days
    if gap is None or bought.orders < cadence.min_orders:
        return None
    currency, (orders, minor) = max(bought.money.items(), key=lambda item: (item[1][0], item[0]))
    if currency not in cadence.dear_from:
        return None
    dear = minor >= scaled(cadence.dear_from[currency], MINOR_UNITS[currency]) * orders
    for rhythm in cadence.rhythms:
        in_gap = rhythm.min_gap_days <= gap and (rhythm.max_gap_days is None or gap <= rhythm.max_gap_days)
        if in_gap and dear == (rhythm.price == "dear"):
            return rhythm
    return None


def channel_for(customer: Customer, purpose: ContactPurpose, policies: Policies) -> ContactChannel:
    """The customer's preferred channel where the purpose may use it, else the purpose's first."""
    channels = policies.channels.policy.purposes[purpose].channels
    preferred = customer.file.preferred_channel
    return preferred if preferred in channels else channels[0]


def welcome_until(customer: Customer, policies: Policies) -> datetime | None:
    """When it is too late for a first contact; None while nothing tells since when he is known."""
    starts = [at for at in (customer.known_since, customer.purchases.first_at) if at]
    return min(starts) + timedelta(hours=policies.welcome.policy.within_hours) if starts else None


def _cadence(
    customer: Customer, contacts: Sequence[Contact], policies: Policies, now: datetime
) -> Wanted | None:
    """The next turn of the rhythm, counted from the last purchase or contact, after the last turn that was closed."""
    version = policies.cadence
    since = customer.purchases.last_at
    if since is None:
        return None
    made = [c.made_at for c in contacts if c.made_at and c.purpose not in policies.caps.policy.exempt]
    anchor = max([since, *made])
    every, because = interval(customer, version.policy, now)
    closed = [c.due_at for c in contacts if c.purpose == "cadence" and not c.is_open]
    turns = (max([now, *closed]) - anchor) // every + 1
    due_at = anchor + max(1, turns) * every
    return _wanted("cadence", customer, policies, due_at, version.number, (because,))


def _win_back(
    customer: Customer, contacts: Sequence[Contact], policies: Policies, now: datetime
) -> Wanted | None:
    """One contact for each time the customer came to be at risk, unless the last one is too recent."""
    since, risk = customer.at_risk_since, customer.risk
    before = [c for c in contacts if c.purpose == "win-back" and not c.is_open]
    answered = [c.answers[1] for c in before if c.answers[0] == (risk.of or c.customer_id)]
    if since is None or max(answered, default=-1) >= risk.episode:
        return None
    rule = policies.win_back
    pause = timedelta(days=rule.policy.again_after_days)
    earliest = [c.made_at + pause for c in before if c.made_at]
    wish = max([now, since + timedelta(hours=rule.policy.after_hours), *earliest])
    because = risk.reasons or (Because("at-risk", f"at risk since {since.date().isoformat()}"),)
    wanted = _wanted("win-back", customer, policies, wish, rule.number, because)
    return msgspec.structs.replace(wanted, episode=risk.episode, episode_of=risk.of)


def _welcome(
    customer: Customer, contacts: Sequence[Contact], policies: Policies, now: datetime
) -> Wanted | None:
    until = welcome_until(customer, policies)
    if customer.known_since is None or customer.is_old or until is None or now > until:
        return None
    if any(c.purpose == "welcome" and not c.is_open for c in contacts):
        return None
    because = Because("new", f"new since {customer.known_since.isoformat(timespec='minutes')}")
    return _wanted("welcome", customer, policies, now, policies.welcome.number, (because,))


def _tenure_days(customer: Customer, now: datetime) -> int:
    since = customer.known_since
    return max(0, (now - since).days) if since else 0


def _wanted(
    purpose: ContactPurpose, customer: Customer, policies: Policies, due_at: datetime, version: int,
    reasons: tuple[Because, ...],
) -> Wanted:  # fmt: skip
    return Wanted(purpose, channel_for(customer, purpose, policies), due_at, version, reasons)
