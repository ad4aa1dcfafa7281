"""What a stored version says: its body, as it was posted, read as the programme that the rules see."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.occasions.domain import is_occasion, read_occasions
from services.loyalty.privileges.domain import read_privilege
from services.loyalty.programmes.domain import (
    EPOCH,
    FACTOR_PLACES,
    GREENWICH,
    ONE,
    Base,
    BasedOn,
    Calendar,
    Expiry,
    Programme,
    Tier,
)
from services.loyalty.programmes.rules import ALWAYS, EVALUATED, WEEKDAYS, Cap, Nth, Rule, Scope, Streak, When
from services.loyalty.referrals.domain import is_referral, read_referral
from services.loyalty.segments.domain import place_of
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.types import Money, scaled

RATE_PLACES = 9
# And a day, by which a zone may have moved.
_LONGEST: dict[Calendar, timedelta] = {"year": timedelta(days=367), "quarter": timedelta(days=93)}


def read_programme(version: int, posted_at: datetime, body: bytes, zone: ZoneInfo = GREENWICH) -> Programme:
    """The version in a stored body, which was validated when it was posted. ``zone``: the house's."""
    fields: dict[str, Any] = msgspec.json.decode(body)
    currency = fields["currency"]
    expiry = fields["expiry"]
    from_delivery = fields.get("pending_days_from_delivery")
    return Programme(
        version=version,
        name=fields["name"],
        currency=currency,
        active_from=datetime.fromisoformat(fields["active_from"]),
        posted_at=posted_at,
        award=fields["points"]["award"],
        per=Money(**fields["points"]["per"]).minor,
        pending=timedelta(days=fields["pending_days"]),
        pending_from_delivery=None if from_delivery is None else timedelta(days=from_delivery),
        expiry=Expiry(expiry["kind"], expiry.get("months", expiry.get("years", 0)), bool(expiry.get("extended_by"))),
        base=_base(fields["points"].get("base", "paid")),
        rounding=fields["points"].get("rounding", "floor"),
        rules=_rules(fields.get("rules", ()), currency),
        occasions=read_occasions(fields.get("rules", ())),
        referral=read_referral(fields.get("rules", ())),
        tiers=_tiers(fields.get("tiers", ()), currency),
        grace=timedelta(days=fields.get("tier_grace_days", 0)),
        warning=timedelta(days=fields.get("tier_warning_days", 0)),
        expiry_warning=fields.get("expiry_warning_days", 0),
        backfill_earns=fields.get("backfill_earns", False),
        zone=zone,
        budget=_cap(fields.get("budget"), "programme"),
        value=Money(**fields["points"]["value"]).minor if fields["points"].get("value") else None,
        rates={code: _rate(rate, code, currency) for code, rate in fields.get("rates", {}).items()},
        transfers_per_day=fields.get("transfers", {}).get("per_day"),
    )


def not_yet_evaluated(body: dict[str, Any]) -> list[str]:
    """JSON pointers of what a posted body asks for and nothing applies so far: kept, and told with the version."""
    rules = enumerate(body.get("rules", ()))
    return [
        f"/rules/{n}"
        for n, rule in rules
        if rule["on"] not in EVALUATED and not is_occasion(rule) and not is_referral(rule)
    ]


def first_programme(currency: str) -> dict[str, Any]:
    """The version that a fresh system starts with, in the form that ``POST /programmes`` takes."""
    return {
        "name": "house",
        "currency": currency,
        "active_from": EPOCH.isoformat(),
        "points": {
            "award": 1,
            "per": {"amount": Money.of(10 * 10 ** MINOR_UNITS[currency], currency).amount, "currency": currency},
            "base": "paid",
            "rounding": "floor",
        },
        "pending_days": 14,
        "pending_days_from_delivery": 7,
        "expiry": {"kind": "rolling", "months": 12},
        "rules": [
            {
                "id": "tea-doubles",
                "order": 10,
                "on": "purchase",
                "when": {"category": ["tea"]},
                "effect": {"multiply": "2"},
                "text": {"zh-CN": "茶叶双倍积分", "en": "Double points on tea"},
                "cap": {"points": 500, "per": "month", "scope": "customer"},
            },
            {
                "id": "compensation",
                "order": 20,
                "on": "complaint-resolved",
                "effect": {"coupon": {"percent": "10", "valid_days": 90}},
                "text": {"zh-CN": "为您的不便致歉", "en": "For your trouble"},
            },
        ],
        "tiers": [
            {
                "name": "silver",
                "qualify": {"spend": Money.of(5000 * 10 ** MINOR_UNITS[currency], currency).amount, "window_days": 365},
                "privileges": [{"code": "free-shipping"}, {"code": "discount", "percent": "5"}],
            }
        ],
        "tier_grace_days": 30,
    }


def _rules(listed: Sequence[dict[str, Any]], currency: str) -> tuple[Rule, ...]:
    evaluated = [fields for fields in listed if fields["on"] in EVALUATED]
    in_order = sorted(evaluated, key=lambda rule: (rule["order"], rule["id"]))
    return tuple(_rule(fields, currency) for fields in in_order)


def _rule(fields: dict[str, Any], currency: str) -> Rule:
    effect, nth = fields["effect"], fields.get("nth")
    return Rule(
        id=fields["id"],
        on=fields["on"],
        when=_when(fields.get("when", {}), currency),
        extra=_extra(effect.get("multiply")),
        bonus=effect.get("bonus", 0),
        per_unit=effect.get("per_unit", 0),
        nth=Nth(nth["n"], nth["per"]) if nth else None,
        cap=_cap(fields.get("cap")),
        group=fields.get("group"),
        holdout=fields.get("holdout", {}).get("percent", 0),
    )


def _rate(rate: str, foreign: str, own: str) -> tuple[int, int]:
    return scaled(rate, RATE_PLACES) * 10 ** MINOR_UNITS[own], 10 ** (RATE_PLACES + MINOR_UNITS[foreign])


def _base(name: BasedOn) -> Base:
    return Base(
        before_discount=name.startswith("before-discount"),
        with_tax="without-tax" not in name,
        with_shipping="shipping" not in name,
    )


def _cap(fields: dict[str, Any] | None, scope: Scope = "customer") -> Cap | None:
    return Cap(fields["points"], fields["per"], fields.get("scope", scope)) if fields else None


def _when(fields: dict[str, Any], currency: str) -> When:
    if not fields:
        return ALWAYS
    days, least, streak = fields.get("days", {}), fields.get("paid_at_least"), fields.get("streak")
    return When(
        categories=frozenset(fields.get("category", ())),
        skus=frozenset(fields.get("sku", ())),
        channels=frozenset(fields.get("channel", ())),
        stores=frozenset(fields.get("store", ())),
        weekdays=frozenset(map(WEEKDAYS.index, fields.get("weekday", ()))),
        since=date.fromisoformat(days["from"]) if "from" in days else None,
        until=date.fromisoformat(days["to"]) if "to" in days else None,
        least=Money(amount=least, currency=currency).minor if least else 0,
        tiers=frozenset(fields.get("tier", ())),
        segments=frozenset(map(place_of, fields.get("segment", ()))),
        streak=Streak(streak["n"], streak["per"]) if streak else None,
    )


def _tiers(listed: Sequence[dict[str, Any]], currency: str) -> tuple[Tier, ...]:
    tiers = [_tier(fields, fields["qualify"], currency) for fields in listed]
    if all(tier.by_spend_alone for tier in tiers):
        tiers.sort(key=lambda tier: (tier.spend, tier.name))
    return tuple(tiers)


def _tier(fields: dict[str, Any], qualify: dict[str, Any], currency: str) -> Tier:
    spend, calendar = qualify.get("spend"), qualify.get("calendar")
    return Tier(
        name=fields["name"],
        spend=Money(amount=spend, currency=currency).minor if spend else 0,
        window=_LONGEST[calendar] if calendar else timedelta(days=qualify.get("window_days", 0)),
        extra=_extra(fields.get("multiply")),
        points=qualify.get("points", 0),
        orders=qualify.get("orders", 0),
        tenure=timedelta(days=qualify.get("tenure_days", 0)),
        calendar=calendar,
        privileges=tuple(read_privilege(privilege) for privilege in fields.get("privileges", ())),
        text=fields.get("text", {}),
    )


def _extra(multiply: str | None) -> int:
    return scaled(multiply, FACTOR_PLACES) - ONE if multiply else 0
