"""The report of a demo, as a shop-keeper reads it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deploy.demo.findings import MOST_AT_RISK, WEEK, Findings, Story
from deploy.demo.house_api import Contact
from deploy.demo.story import counted, money, told
from shared.contracts.topics import SERVICES

WIDTH = 100
BAR = 40
REASONS = 2


@dataclass(frozen=True, slots=True)
class Run:
    """What this run did and how long it took. ``flowing_seconds``: first publish to everything caught up."""

    published: int
    seconds: float
    flowing_seconds: float
    phases: Mapping[str, float]

    @property
    def events_per_second(self) -> float:
        return self.published / self.flowing_seconds if self.flowing_seconds else 0.0


def as_json(run: Run, findings: Findings) -> dict[str, object]:
    """The object that ``--json`` prints."""
    return {
        "events_published": run.published,
        "applied": {name: figures.applied for name, figures in findings.services.items()},
        "duplicates": {name: figures.duplicates for name, figures in findings.services.items()},
        "dead_letters": findings.dead_letters,
        "seconds": round(run.seconds, 3),
        "events_per_second": round(run.events_per_second, 1),
        "customers": findings.customers,
        "points_issued": findings.points_issued,
        "ledger_balanced": findings.ledger.ok,
        "at_risk": len(findings.at_risk),
        "contacts_planned": len(findings.contacts),
        "tiers": dict(findings.tiers),
        "phases": {name: round(seconds, 3) for name, seconds in run.phases.items()},
        "problems": findings.problems(),
    }


def show(out: Console, run: Run, findings: Findings, now: datetime, zone: ZoneInfo) -> None:
    """Prints the report."""
    out.print()
    title = f"{counted(run.published, 'purchase')} of {counted(findings.customers, 'customer')}"
    out.rule(f"[bold]{title}[/]", style="cyan")
    out.print(
        f"through every service in {run.flowing_seconds:.1f} s, {run.events_per_second:,.0f} a second; "
        f"{run.seconds:.1f} s from the start to this page",
        justify="center",
        style="dim",
    )
    _section(out, "What went in, and what came of it", _services(findings))
    _section(out, f"{counted(findings.points_issued, 'point')} issued", _tiers(findings))
    _section(out, f"{len(findings.at_risk):,} at risk of not coming back, those worth most first", _at_risk(findings))
    _section(out, "Contacts planned for the next seven days", _contacts(findings.contacts, now, zone))
    if findings.story:
        _section(out, f"The story of {findings.story.customer.customer_id}", _story(findings.story, zone))
    for problem in findings.problems():
        out.print(f"[bold red]✗[/] {problem}")


def _section(out: Console, title: str, content: RenderableType) -> None:
    out.print(f"\n[bold cyan]{title}[/]")
    out.print(Padding(content, (0, 0, 0, 1)))


def _services(findings: Findings) -> Table:
    table = _table(
        "service", ">events in", ">purchases applied", ">redelivered", ">dead letters", ">events of its own"
    )
    for name in SERVICES:
        figures = findings.services[name]
        letters = Text(f"{figures.dead_letters:,}", style="red" if figures.dead_letters else "green")
        numbers = (f"{figures.received:,}", f"{figures.applied:,}", f"{figures.duplicates:,}")
        table.add_row(name, *numbers, letters, f"{figures.derived:,}")
    return table


def _tiers(findings: Findings) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=10)
    table.add_column(justify="right")
    table.add_column()
    most = max(findings.tiers.values(), default=0)
    for tier, customers in findings.tiers.items():
        bar = "█" * max(1, round(BAR * customers / most))
        table.add_row("no tier" if tier == "none" else tier, f"{customers:,}", Text(bar, style="cyan"))
    sums = "sums to zero, chain intact" if findings.ledger.ok else "DOES NOT BALANCE"
    style = "green" if findings.ledger.ok else "bold red"
    return Group(table, Text(f"ledger of {findings.ledger.entries:,} entries: {sums}", style=style))


def _at_risk(findings: Findings) -> RenderableType:
    if not findings.at_risk:
        return Text("nobody, as far as these purchases tell", style="green")
    table = _table("customer", ">risk", ">value at risk", "why")
    for customer in findings.at_risk[:MOST_AT_RISK]:
        risk = Text(f"{customer.probability:.0%}", style="red" if customer.band == "critical" else "yellow")
        value = f"{Decimal(customer.value_at_risk.amount):,.0f} {customer.value_at_risk.currency}"
        why = "; ".join(reason.text for reason in customer.reasons[:REASONS])
        table.add_row(customer.customer_id, risk, value, why)
    return table


def _contacts(contacts: Sequence[Contact], now: datetime, zone: ZoneInfo) -> Table:
    soon = [contact for contact in contacts if contact.due_at < now + WEEK]
    purposes = [purpose for purpose, _ in Counter(contact.purpose for contact in soon).most_common()]
    table = _table("day", *(f">{purpose}" for purpose in purposes), ">together", "by")
    for due in dict.fromkeys(max(contact.due_at, now).astimezone(zone).date() for contact in soon):
        of_day = [contact for contact in soon if max(contact.due_at, now).astimezone(zone).date() == due]
        by_purpose = Counter(contact.purpose for contact in of_day)
        channels = Counter(contact.channel for contact in of_day)
        table.add_row(
            f"{due:%a %d %b}",
            *(f"{by_purpose[purpose]:,}" if by_purpose[purpose] else "·" for purpose in purposes),
            f"{len(of_day):,}",
            ", ".join(f"{channel} {number:,}" for channel, number in channels.most_common()),
        )
    return table


def _story(story: Story, zone: ZoneInfo) -> RenderableType:
    value, account = story.customer.value, story.account
    tier = account.tier.name if account.tier and account.tier.name else "no tier"
    head = (
        f"{story.customer.lifecycle}, {counted(value.order_count, 'order')}, {money(value.lifetime_spend)}; {tier}, "
        f"{account.available:,} points and {account.pending:,} pending"
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for when, sentence in told(story.entries, zone):
        table.add_row(when, Text(sentence))
    return Group(Text(head, style="italic"), table)


def _table(*headings: str) -> Table:
    """A table; a heading that starts with ``>`` is over numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(heading.lstrip(">"), justify="right" if right else "left", no_wrap=heading != "why")
    return table
