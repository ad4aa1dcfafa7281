"""The routes that others build against are there: they stand here by hand, so that none goes unnoticed."""

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
POST /simulations
GET /simulations/{id}
POST /accounts/{customer_id}/adjustments
GET /adjustments
POST /adjustments/{id}/approve
POST /adjustments/{id}/refuse
POST /transfers
GET /transfers/{id}
GET /rewards
POST /rewards
PATCH /rewards/{id}
GET /accounts/{customer_id}/coupons
GET /coupons/{code}
POST /coupons/{code}/redeem
POST /coupons/{code}/release
GET /accounts/{customer_id}/privileges
GET /accounts/{customer_id}/enrolment
POST /enrolments
POST /enrolments/lookups
POST /enrolments/{id}/renewals
POST /enrolments/{id}/cancel
POST /tiers/preview
GET /liability
GET /accounts/{customer_id}/balance
GET /accounts/{customer_id}/statements
GET /accounts/{customer_id}/explanation
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
    taken = {one["name"] for one in SERVED["paths"][path]["get"]["parameters"] if one["in"] == "query"}
    assert QUERIES[path] <= taken


def test_the_360_view_has_its_fields() -> None:
    schemas = SERVED["components"]["schemas"]
    answer = SERVED["paths"]["/customers/{customer_id}"]["get"]["responses"]["200"]
    view = schemas[answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
    assert set(view["properties"]) >= VIEW
    value = schemas[view["properties"]["value"]["$ref"].rpartition("/")[2]]
    assert set(value["properties"]) >= VALUE
