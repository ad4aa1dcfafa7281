"""What customers say, what comes back, whom others bring; targets, and the figures of a month as first reported."""

from datetime import UTC, date, datetime
from typing import Any

from shared.jobs import Job
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_counting import count
from tests.integration.profile.test_metrics import kpi, ratio
from tests.kit.builders import at, line, money, purchase, record, returned

SERVICE = "profile"


def said(number: int, kind: str, customer: str = "pos:1", days_ago: float = 1, **fields: Any) -> Any:
    told = {"customer_id": customer, "feedback_id": f"f{number}", "channel": "web", "kind": kind, **fields}
    return record("feedback-received", {**told, "occurred_at": at(days_ago)})


def job(profile: Profile, name: str) -> Job:
    return next(job for job in profile.service.runner.jobs if job.name == name)


async def test_satisfaction_is_of_those_who_gave_a_rating(profile: Profile) -> None:
    await profile.take(
        *(said(n, "review", f"pos:{n}", rating=stars) for n, stars in enumerate((5, 4, 3, 1))),
        said(10, "complaint", rating=2),
        said(11, "complaint"),
        said(12, "review", days_ago=200, rating=5),
    )
    told = await kpi(profile, "satisfaction")
    assert (ratio(told), told["value"]) == ((2, 5, 6), 0.4)
    assert "25 people" in told["assumption"]
    assert (await kpi(profile, "churn"))["assumption"] is None
    assert told["kinds"] == [
        {"kind": "complaint", "count": 2, "rated": 1, "high": 0, "low": 1, "average": 2.0},
        {"kind": "review", "count": 4, "rated": 4, "high": 2, "low": 1, "average": 3.25},
    ]
    await profile.client.patch("/customers/pos:0", json={"owner": "staff:7"}, headers={"If-Match": "*"})
    assert ratio(await kpi(profile, "satisfaction", owner="staff:7")) == (1, 1, 1)


async def test_a_referral_is_a_first_order_with_somebodys_code(profile: Profile) -> None:
    await profile.take(
        record("purchase-recorded", purchase("pos:1", "a", days_ago=200)),
        record("purchase-recorded", purchase("pos:1", "b", days_ago=2, referral_code="R")),
        record("purchase-recorded", purchase("pos:2", "c", days_ago=3, referral_code="R")),
        record("purchase-recorded", purchase("pos:2", "d", days_ago=2)),
        record("purchase-recorded", purchase("pos:3", "e", days_ago=3)),
        record("purchase-recorded", purchase("pos:3", "e", days_ago=3, order_version=2, referral_code="S")),
        record("purchase-recorded", purchase("pos:4", "f", days_ago=3)),
    )
    await count(profile)
    assert ratio(await kpi(profile, "referral")) == (2, 3, 4)


async def test_products_tell_what_came_back_and_what_was_complained_of(profile: Profile) -> None:
    lines = [line("1", sku="tea", quantity=3), line("2", sku="pot", quantity=1)]
    await profile.take(
        record("purchase-recorded", purchase("pos:1", "a", total="400", lines=lines)),
        record("purchase-recorded", purchase("pos:2", "b", lines=[line(sku="tea", quantity="0.5")])),
        record("purchase-recorded", purchase("pos:2", "old", days_ago=200, lines=[line(sku="tea")])),
        record("purchase-returned", returned("a", lines=[{"line_id": "2", "quantity": 1}])),
        said(1, "complaint", sku="tea"),
        said(2, "complaint", sku="cup"),
        said(3, "praise", sku="pot"),
    )
    await count(profile)
    told = await kpi(profile, "products")
    assert (told["numerator"], told["denominator"], told["count"]) == ("1", "4.5", 2)
    tea = {"sku": "tea", "orders": 2, "sold": "3.5", "returned": "0", "return_rate": 0.0, "complaints": 1}
    pot = {"sku": "pot", "orders": 1, "sold": "1", "returned": "1", "return_rate": 1.0, "complaints": 0}
    cup = {"sku": "cup", "orders": 0, "sold": "0", "returned": "0", "return_rate": None, "complaints": 1}
    assert told["products"] == [
        {**tea, "complaint_rate": 0.5}, {**pot, "complaint_rate": 0.0}, {**cup, "complaint_rate": None},
    ]  # fmt: skip
    assert (await kpi(profile, "products", order="return_rate"))["products"][0]["sku"] == "pot"
    assert [row["sku"] for row in (await kpi(profile, "products", sku="cup"))["products"]] == ["cup"]


async def test_a_month_is_told_as_first_reported_beside_what_it_is_now(profile: Profile) -> None:
    october, november, december = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)
    await profile.take(
        record("purchase-recorded", purchase("pos:1", "old", days_ago=30)),
        record("purchase-recorded", purchase("pos:1", "a", total="100")),
    )
    month = {"from": "2026-11-01", "to": "2026-12-01"}
    await profile.client.patch("/customers/pos:1", json={"owner": "staff:7"}, headers={"If-Match": "*"})
    aimed = await profile.client.put("/kpis/sales/targets", params={**month, "owner": "staff:7"}, json={"target": "80"})
    assert aimed.status_code == 200, aimed.text
    report = job(profile, "report-months")
    closed = datetime(2026, 11, 30, 20, tzinfo=UTC)
    while (due := await report.next_due()) is not None and due < closed:
        profile.clock.set(due)
        await report.run()
    assert due == datetime(2026, 12, 1, 19, 30, tzinfo=UTC)
    await profile.take(record("purchase-returned", returned("a", amount=money("40"))))
    profile.clock.set(due)
    await report.run()
    await count(profile)
    sales = await kpi(profile, "sales", november, december)
    assert (sales["numerator"], sales["first_reported"]["numerator"]) == ("60.00", "100.00")
    assert sales["first_reported"]["reported_at"] == "2026-11-30T19:30:00Z"
    assert sales["first_reported"]["definition_version"] == sales["definition_version"]
    for name in ("retention", "repurchase", "referral", "churn", "satisfaction", "products", "cohorts"):
        assert (await kpi(profile, name, november, december))["first_reported"] is not None, name
    of_owner = await kpi(profile, "sales", november, december, owner="staff:7")
    assert (of_owner["target"]["target"], of_owner["target"]["owner"]) == ("80", "staff:7")
    assert (of_owner["numerator"], of_owner["first_reported"]["numerator"]) == ("60.00", "100.00")
    assert (await kpi(profile, "repurchase", november, december, owner="staff:7"))["first_reported"] is not None
    # Nobody saw October close; of a part of a month, of a segment or owner without a target nothing is reported.
    assert (await kpi(profile, "sales", october, november))["first_reported"] is None
    assert (await kpi(profile, "sales", november, date(2026, 11, 30)))["first_reported"] is None
    for other in ({"owner": "staff:8"}, {"segment": "lifecycle:new"}):
        assert (await kpi(profile, "sales", november, december, **other))["first_reported"] is None


async def test_a_target_stands_beside_the_figure_of_its_period(profile: Profile) -> None:
    period = {"from": "2026-11-01", "to": "2026-12-01"}
    path = "/kpis/retention/targets"
    first = await profile.client.put(path, params=period, json={"target": "0.4"})
    assert (first.status_code, first.json()["version"]) == (200, 1)
    assert (await profile.client.put(path, params=period, json={"target": "0.5"})).status_code == 428
    etag = {"If-Match": first.headers["ETag"]}
    second = await profile.client.put(path, params=period, json={"target": "0.5"}, headers=etag)
    assert second.json()["version"] == 2
    assert (await profile.client.put(path, params=period, json={"target": "0.6"}, headers=etag)).status_code == 412
    for method in ("PUT", "GET"):
        at, body = (path, {"target": "1"}) if method == "PUT" else ("/kpis/retention", None)
        none = await profile.client.request(method, at, params={**period, "segment": "no-such"}, json=body)
        assert (none.status_code, none.json()["errors"][0]["pointer"]) == (422, "/query/segment")
    ours = await profile.client.put(path, params={**period, "segment": "lifecycle:new"}, json={"target": "0.9"})
    assert (ours.status_code, ours.json()["version"]) == (200, 1)
    listed: list[tuple[str | None, str | None, str]] = []
    cursor: dict[str, Any] = {}
    for _ in range(2):
        page = (await profile.client.get(path, params={"limit": 1, **cursor})).json()
        listed += [(one["segment"], one["owner"], one["target"]) for one in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert (listed, cursor) == ([(None, None, "0.5"), ("lifecycle:new", None, "0.9")], {"cursor": None})
    profile.clock.set(datetime(2026, 12, 1, tzinfo=UTC))
    asked = (date(2026, 11, 1), date(2026, 12, 1))
    assert (await kpi(profile, "retention", *asked))["target"]["target"] == "0.5"
    assert (await kpi(profile, "retention", *asked, owner="staff:7"))["target"] is None
    assert (await kpi(profile, "sales", *asked))["target"] is None
    reader = token("profile:read")
    assert (await profile.client.put(path, params=period, json={"target": "1"}, headers=reader)).status_code == 403
