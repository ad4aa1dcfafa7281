"""What a rule on referrals may say."""

from typing import Any

import httpx
import pytest

from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_referrals import RULE
from tests.kit.builders import at, money

SERVICE = "loyalty"


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"effect": {"bonus": 5}}, "/rules/0/effect"),
        ({"effect": {"referrer": {"bonus": 5}, "multiply": "2"}}, "/rules/0/effect"),
        ({"effect": {"referrer": {"bonus": 0}}}, "/rules/0/effect/referrer/bonus"),
        ({"when": {"category": ["tea"]}}, "/rules/0/when"),
        ({"cap": {"points": 5, "per": "day"}}, "/rules/0/cap"),
        ({"limit": {"count": 0, "per": "day"}}, "/rules/0/limit/count"),
        ({"on": "purchase"}, "/rules/0/effect"),
        ({"on": "purchase", "effect": {"bonus": 5}, "limit": {"count": 1, "per": "day"}}, "/rules/0/limit"),
    ],
)
async def test_a_rule_on_referrals_says_what_it_may_and_nothing_else(
    shop: Shop, rule: dict[str, Any], pointer: str
) -> None:
    async with shop.client("loyalty:read loyalty:write") as http:
        answer = await posted(http, [{**RULE, **rule}])
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
        assert (await posted(http, [RULE, {**RULE, "id": "more"}])).status_code == 422
        good = await posted(http, [{**RULE, "limit": {"count": 3, "per": "year"}}])
        assert (good.status_code, good.json()["not_yet_evaluated"]) == (201, []), good.text


async def posted(http: httpx.AsyncClient, rules: list[dict[str, Any]]) -> httpx.Response:
    body = {
        "name": "house", "currency": "TWD", "active_from": at(0), "points": {"award": 1, "per": money("10.00")},
        "pending_days": 14, "expiry": {"kind": "never"}, "rules": rules,
    }  # fmt: skip
    return await http.post("/programmes", json=body)
