"""What only a rule on referrals may say, and what it may not."""

from collections.abc import Sequence

from services.loyalty.programmes.rule_bodies import RuleBody
from shared.http.problems import invalid


def check_referrals(rules: Sequence[RuleBody]) -> None:
    """Raises ProblemError 422 with a pointer."""
    found = False
    for number, rule in enumerate(rules):
        at, effect = f"/rules/{number}", rule.effect
        gives = effect.referrer is not None or effect.referee is not None
        if rule.on != "referral":
            if gives:
                raise invalid(f"{at}/effect", "referrer and referee are of referrals")
            if rule.limit is not None:
                raise invalid(f"{at}/limit", "limits are of referrals: other rules have caps")
            continue
        if not gives:
            raise invalid(f"{at}/effect", "a referral gives referrer, referee or both a bonus")
        for name in ("when", "cap", "group"):
            if getattr(rule, name) is not None:
                raise invalid(f"{at}/{name}", f"a rule on referrals has no {name}")
        if found:
            raise invalid(f"{at}/on", "a version has one rule on referrals")
        found = True
