"""The routes that others build against are there: they stand here by hand, so that none goes unnoticed."""

from typing import Any

import pytest

from tests.contract.test_openapi import DOCUMENTS

PROFILE = """
POST /events
POST /customers
POST /lookups
GET /customers
GET /customers/{customer_id}
PATCH /customers/{customer_id}
GET /customers/{customer_id}/timeline
GET /customers/{customer_id}/purchases
GET /customers/{customer_id}/recommendations
GET /customers/{customer_id}/purchase-pattern
GET /products/{sku}
PUT /products/{sku}
GET /customers/{customer_id}/preferences
PUT /customers/{customer_id}/preferences
POST /customers/{customer_id}/notes
PUT /customers/{customer_id}/consents/{channel}/{purpose}
GET /customers/{customer_id}/segments
GET /customers/{customer_id}/segments/{name}/explanation
GET /segments
POST /segments
PUT /segments/{name}
POST /segments/{name}/preview
GET /segments/{name}/members
GET /duplicates
POST /merges
POST /merges/{id}/undo
GET /merges/{id}
POST /imports
POST /customers/{customer_id}/erasure
GET /erasures/{id}
GET /customers/{customer_id}/export
GET /kpis/retention
GET /kpis/repurchase
GET /kpis/referral
GET /kpis/churn
GET /kpis/sales
GET /kpis/satisfaction
GET /kpis/cohorts
POST /internal/reachability
GET /dead-letters
POST /dead-letters/{id}/replay
GET /flow
"""
LOYALTY = """
GET /programmes
POST /programmes
GET /programmes/current
POST /simulations
GET /simulations/{id}
GET /accounts/{customer_id}
GET /accounts/{customer_id}/entries
GET /accounts/{customer_id}/balance
GET /accounts/{customer_id}/lots
GET /accounts/{customer_id}/explanation
GET /accounts/{customer_id}/privileges
GET /accounts/{customer_id}/coupons
GET /accounts/{customer_id}/redemptions
GET /accounts/{customer_id}/enrolment
GET /accounts/{customer_id}/export
GET /accounts/{customer_id}/statements
POST /accounts/{customer_id}/adjustments
GET /adjustments
GET /adjustments/{id}
POST /adjustments/{id}/approve
POST /adjustments/{id}/refuse
POST /transfers
GET /transfers/{id}
GET /rewards
POST /rewards
GET /rewards/{id}
PATCH /rewards/{id}
POST /quotes
POST /holds
GET /holds/{id}
POST /holds/{id}/commit
POST /holds/{id}/void
POST /redemptions
GET /redemptions/{id}
POST /redemptions/{id}/rollback
POST /redemptions/{id}/fulfilment
GET /coupons/conflicts
GET /coupons/{code}
POST /coupons/{code}/redeem
POST /coupons/{code}/release
POST /coupons/{code}/reserve
POST /coupons/{code}/void
POST /coupons/batches
GET /coupons/batches/{id}
GET /coupons/batches/{id}/coupons
POST /enrolments
POST /enrolments/lookups
POST /enrolments/{id}/renewals
POST /enrolments/{id}/cancel
POST /tiers/preview
GET /liability
GET /accounts/{customer_id}/referral-code
POST /accounts/{customer_id}/referral-code
GET /accounts/{customer_id}/referrals
GET /referrals
POST /effects
GET /effects/{id}
GET /ledger/verification
GET /dead-letters
POST /dead-letters/{id}/replay
GET /flow
"""
QUERIES = {
    "/customers": {"q", "segment", "lifecycle", "tier", "risk", "tag", "owner", "limit", "cursor"},
    "/customers/{customer_id}/timeline": {"kinds", "before"},
    "/customers/{customer_id}/purchase-pattern": {"from", "to"},
    "/customers/{customer_id}/segments": {"as_of"},
    "/kpis/retention": {"from", "to", "segment", "owner"},
    "/kpis/repurchase": {"from", "to", "segment", "owner"},
    "/kpis/referral": {"from", "to", "segment", "owner"},
    "/kpis/churn": {"from", "to", "segment", "owner"},
    "/kpis/sales": {"from", "to", "segment", "owner"},
    "/kpis/satisfaction": {"from", "to", "segment", "owner"},
    "/kpis/cohorts": {"from", "to", "segment", "owner"},
}
LOYALTY_QUERIES = {
    "/programmes": {"limit", "cursor"},
    "/accounts/{customer_id}/entries": {"as_of", "known_by", "limit", "cursor"},
    "/accounts/{customer_id}/balance": {"as_of", "known_by"},
    "/accounts/{customer_id}/lots": {"limit", "cursor"},
    "/accounts/{customer_id}/coupons": {"limit", "cursor"},
    "/accounts/{customer_id}/redemptions": {"limit", "cursor"},
    "/adjustments": {"state", "limit", "cursor"},
    "/rewards": {"customer_id", "limit", "cursor"},
    "/liability": {"as_of"},
}
MOVING = [
    "/accounts/{customer_id}/adjustments",
    "/adjustments/{id}/approve",
    "/transfers",
    "/quotes",
    "/holds",
    "/holds/{id}/commit",
    "/holds/{id}/void",
    "/redemptions",
    "/redemptions/{id}/rollback",
    "/coupons/{code}/redeem",
    "/coupons/batches",
    "/enrolments",
    "/enrolments/{id}/renewals",
]
POINTS = ("available", "pending", "held", "debt", "lifetime_earned")
PARTS = {"tier": {"name", "since", "progress", "projected"}, "expiring": {"next_at", "points"}}
VIEW = {
    "customer_id", "merged_into", "tags", "value", "lifecycle", "segments", "tier", "points", "risk", "next_contact",
    "open_complaints",
}  # fmt: skip
VALUE = {"rfm", "lifetime_spend", "order_count", "clv"}
SERVED = DOCUMENTS["profile"]


@pytest.mark.parametrize("route", PROFILE.strip().splitlines())
def test_profile_serves_it(route: str) -> None:
    method, path = route.split(" ")
    assert method.lower() in SERVED["paths"].get(path, {})


@pytest.mark.parametrize("route", LOYALTY.strip().splitlines())
def test_loyalty_serves_it(route: str) -> None:
    method, path = route.split(" ")
    assert method.lower() in DOCUMENTS["loyalty"]["paths"].get(path, {})


@pytest.mark.parametrize("path", QUERIES)
def test_profile_takes_its_query(path: str) -> None:
    assert QUERIES[path] <= taken(SERVED, path)


@pytest.mark.parametrize("path", LOYALTY_QUERIES)
def test_loyalty_takes_its_query(path: str) -> None:
    assert LOYALTY_QUERIES[path] <= taken(DOCUMENTS["loyalty"], path)


@pytest.mark.parametrize("path", MOVING)
def test_what_moves_points_or_money_needs_an_idempotency_key(path: str) -> None:
    parameters = DOCUMENTS["loyalty"]["paths"][path]["post"]["parameters"]
    assert [one["required"] for one in parameters if one["name"] == "Idempotency-Key"] == [True]


def test_an_account_has_its_fields() -> None:
    schemas = DOCUMENTS["loyalty"]["components"]["schemas"]
    answer = DOCUMENTS["loyalty"]["paths"]["/accounts/{customer_id}"]["get"]["responses"]["200"]
    account = schemas[answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]["properties"]
    assert [account[name]["type"] for name in POINTS] == ["integer"] * len(POINTS)
    for name, fields in PARTS.items():
        parts = [one["$ref"] for one in account[name].get("anyOf", [account[name]]) if "$ref" in one]
        assert [fields <= set(schemas[part.rpartition("/")[2]]["properties"]) for part in parts] == [True], name


def taken(document: dict[str, Any], path: str) -> set[str]:
    return {one["name"] for one in document["paths"][path]["get"]["parameters"] if one["in"] == "query"}


def test_the_360_view_has_its_fields() -> None:
    schemas = SERVED["components"]["schemas"]
    answer = SERVED["paths"]["/customers/{customer_id}"]["get"]["responses"]["200"]
    view = schemas[answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
    assert set(view["properties"]) >= VIEW
    value = schemas[view["properties"]["value"]["$ref"].rpartition("/")[2]]
    assert set(value["properties"]) >= VALUE
