"""What only rules on occasions may say, and what they may not."""

from collections.abc import Sequence

from services.loyalty.programmes.rule_bodies import RuleBody
from services.loyalty.programmes.rules import OCCASIONS
from shared.http.problems import invalid


def check_occasions(rules: Sequence[RuleBody]) -> None:
    """Raises ProblemError 422 with a pointer."""
    for number, rule in enumerate(rules):
        at, effect, when, cap = f"/rules/{number}", rule.effect, rule.when, rule.cap
        if rule.on not in OCCASIONS:
            if effect.coupon is not None:
                raise invalid(f"{at}/effect/coupon", "coupons are for occasions: a purchase gives points")
            if when is not None and when.kind is not None:
                raise invalid(f"{at}/when/kind", "kinds are of activities")
            continue
        if effect.bonus is None and effect.coupon is None:
            raise invalid(f"{at}/effect", "an occasion gives a bonus or a coupon")
        if rule.group is not None:
            raise invalid(f"{at}/group", "groups are of rules on purchases")
        for name, asked in when or ():
            if asked is not None and (name != "kind" or rule.on != "activity"):
                raise invalid(f"{at}/when", "of conditions an occasion has kind alone, and that an activity")
        if cap is not None and cap.scope != "customer":
            raise invalid(f"{at}/cap/scope", "what an occasion gives is capped by customer")
        if effect.coupon is not None and cap is not None:
            raise invalid(f"{at}/cap", "a cap counts points: each occasion gives one coupon")
        if effect.coupon is not None and rule.on == "activity":
            raise invalid(f"{at}/effect/coupon", "activities give points, which a cap can count")
