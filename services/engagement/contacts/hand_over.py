"""Handing contacts over: ask profile, check every gate again, then a provider or a person.

No message is lost and none doubled. A contact becomes ``handing-over`` in a transaction of its own before its mail
goes out, and ``sent`` in another after the server took it. Whoever dies in between leaves it ``handing-over``: nobody
sends it again by himself; after ``DOUBT`` a person gets the task to look for its Message-ID at the mail server, and
says whether it went out.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from services.engagement.contacts import events, store
from services.engagement.contacts.application import SERVICE, contacts_of
from services.engagement.contacts.decided import Work, later, look_into
from services.engagement.contacts.domain import Contact, Status
from services.engagement.contacts.gates import (
    ByStaff,
    Reach,
    Send,
    Situation,
    judge,
)
from services.engagement.contacts.planning import PLANNED_HERE, taken_by
from services.engagement.contacts.store import Stored
from services.engagement.customers import application as customers
from services.engagement.policies import application as policies
from services.engagement.policies.domain import Policies
from services.engagement.providers.mail import (
    Accepted,
    MailServer,
    Message,
    Refused,
    Result,
    ServerAway,
    Session,
    Unsure,
)
from services.engagement.providers.reachability import Asked, Reachability
from services.engagement.tasks import application as tasks
from services.engagement.templates import application as templates
from shared.clock import Clock
from shared.db import Database, is_transient
from shared.messaging import outbox

BATCH = 200
DOUBT = timedelta(minutes=2)
"""Longer than any mail session takes: what is still in flight then, nobody is sending any more."""
FRESH = timedelta(minutes=1)
"""How long the gates' word holds: whoever a slow mail server kept waiting for longer is asked about again."""
SMTP = "smtp"
_SETTLE_ATTEMPTS = 3


class _Letter(msgspec.Struct, frozen=True):
    stored: Stored
    message: Message


class HandOver:
    """The job over contacts that are due. ``mail`` is None where no server is configured: people do it all."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        house_zone: str,
        locale: str,
        reachability: Reachability,
        mail: MailServer | None,
        wake: Callable[[], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._house_zone = house_zone
        self._locale = locale
        self._reachability = reachability
        self._mail = mail
        self._wake = wake

    async def run(self) -> int:
        """Hands over what is due; answers how many contacts it came to a decision about."""
        done = await self._doubt_stuck()
        while True:
            async with self._db.transaction() as tx:
                due = await store.due(tx, self._clock.now(), BATCH)
                rules = await policies.in_force(tx)
            if not due:
                return done
            reach = await self._ask(due, rules)
            decided, letters = await self._decide(due, reach)
            self._wake()
            await self._deliver(letters)
            if not decided:
                return done
            done += decided

    async def next_due(self) -> datetime | None:
        """When the next contact is to be handed over, or the next one in flight becomes doubtful."""
        async with self._db.transaction() as tx:
            planned, in_flight = await store.next_hand_over(tx)
        instants = [planned, in_flight + DOUBT if in_flight else None]
        return min((at for at in instants if at), default=None)

    async def _ask(self, due: Sequence[Stored], rules: Policies) -> Mapping[Asked, Reach]:
        asked = {_asked(s.contact, rules) for s in due if self._delivers(s.contact)}
        return await self._reachability.ask(sorted(asked)) if asked else {}

    def _delivers(self, contact: Contact) -> bool:
        return self._mail is not None and contact.channel == "email"

    async def _decide(self, due: Sequence[Stored], reach: Mapping[Asked, Reach]) -> tuple[int, list[_Letter]]:
        """Every gate again, under the locks of customers and contacts: how many were decided, what is to be mailed.

        Customers whom a consumer has in hand are left for the next look.
        """
        now = self._clock.now()
        async with self._db.transaction() as tx:
            groups, states = await customers.lock_free(tx, sorted({s.contact.customer_id for s in due}))
            ids = sorted(states)
            held = await store.lock(tx, [s.contact.id for s in due if groups.survivor(s.contact.customer_id) in states])
            found = [s for s in held if _is_due(s.contact, now)]
            rules = await policies.in_force(tx)
            complaints = await tasks.with_open_complaint(tx, [id for person in ids for id in groups.members(person)])
            known = await contacts_of(tx, groups, ids, now)
            texts = await templates.load(tx, self._locale)
            in_hand = {
                id: taken_by(states[id], [c for c in known[id] if c.made_at or c.task_id], rules, self._house_zone)
                for id in ids
            }
            work, letters = Work(now), []
            for stored in sorted(found, key=_claim):
                contact = stored.contact
                if contact.customer_id not in states:
                    # It went back to the planned ones after his id was merged: the survivor's plan stands for him.
                    work.take_back(stored, "merged")
                    continue
                answer = reach.get(_asked(contact, rules))
                if answer is None and self._delivers(contact):
                    work.unanswered(stored, rules)
                    continue
                customer, taken = states[contact.customer_id], in_hand[contact.customer_id]
                complaint_open = not complaints.isdisjoint(groups.members(contact.customer_id))
                verdict, decisions = judge(
                    contact, Situation(customer, taken, complaint_open, answer, now), rules
                )
                if isinstance(verdict, Send | ByStaff) and contact.purpose not in rules.caps.policy.exempt:
                    taken.add(now)
                work.add(stored, verdict, decisions, customer.file.owner)
                if isinstance(verdict, Send):
                    text = texts.render(
                        contact.purpose, (answer.locale if answer else None) or customer.file.locale,
                        answer.name if answer else None,
                    )  # fmt: skip
                    message = Message(contact.id, verdict.address, text.subject, text.text, text.html, now)
                    letters.append(_Letter(stored, message))
            await work.write(tx)
        return len(held), letters

    async def _deliver(self, letters: Sequence[_Letter]) -> None:
        if not letters or self._mail is None:
            return
        left = list(letters)
        try:
            async with self._mail.session() as session:
                while left and not session.broken:
                    if self._clock.now() - left[0].message.date > FRESH:
                        return
                    await self._one(session, left.pop(0))
        except ServerAway:
            pass
        if left:
            now = self._clock.now()
            async with self._db.transaction() as tx:
                until = {letter.stored.contact.id: later(letter.stored, now) for letter in left}
                await store.postpone(tx, until, moves=False)

    async def _one(self, session: Session, letter: _Letter) -> None:
        async with self._db.transaction() as tx:
            taken_up = await store.take_up(
                tx, letter.stored.contact.id, letter.stored.version, self._clock.now()
            )
        if not taken_up:
            return
        result = await session.deliver(letter.message)
        for attempt in range(_SETTLE_ATTEMPTS):
            try:
                await self._settle(letter, result)
                break
            except Exception as error:  # what the server took must not become doubtful for a deadlock's sake
                if attempt + 1 == _SETTLE_ATTEMPTS or not is_transient(error):
                    raise
        self._wake()

    async def _settle(self, letter: _Letter, result: Result) -> None:
        now = self._clock.now()
        contact, trigger = letter.stored.contact, letter.stored.trigger
        status: Status
        why: str | None = None
        async with self._db.transaction() as tx:
            await customers.lock_known(tx, contact.customer_id)
            if not await store.lock(tx, [contact.id]):
                return
            match result:
                case Accepted():
                    status, event = "sent", events.sent(contact, SMTP, trigger, now)
                case Refused(reason, True):
                    status, why, event = "failed", reason, events.failed(contact, SMTP, reason, trigger, now)
                case Refused():
                    await store.change(tx, [(contact.id, "planned", None)], now, ("handing-over",))
                    await store.postpone(tx, {contact.id: later(letter.stored, now)}, moves=False)
                    return
                case Unsure(reason):
                    await look_into(tx, [letter.stored], now)
                    return
            if await store.change(tx, [(contact.id, status, why)], now, ("handing-over",)):
                await outbox.append(tx, SERVICE, [event], now)
                await customers.flag(tx, {contact.customer_id: trigger}, now)

    async def _doubt_stuck(self) -> int:
        now = self._clock.now()
        async with self._db.transaction() as tx:
            stuck = await store.stuck(tx, now - DOUBT, BATCH)
            groups, free = await customers.lock_free(tx, sorted({s.contact.customer_id for s in stuck}))
            held = await store.lock(tx, [s.contact.id for s in stuck if groups.survivor(s.contact.customer_id) in free])
            doubtful = [s for s in held if s.contact.status == "handing-over" and s.contact.task_id is None]
            await look_into(tx, doubtful, now)
        return len(doubtful)


def _asked(contact: Contact, rules: Policies) -> Asked:
    return contact.customer_id, contact.channel, rules.channels.policy.purposes[contact.purpose].consent


def _is_due(contact: Contact, now: datetime) -> bool:
    return contact.status == "planned" and contact.task_id is None and contact.due_at <= now


def _claim(stored: Stored) -> tuple[str, int, str]:
    """A customer's contacts in order of their claim to today's free place under the caps."""
    purpose = stored.contact.purpose
    rank = PLANNED_HERE.index(purpose) if purpose in PLANNED_HERE else -1
    return stored.contact.customer_id, rank, stored.contact.id
