"""A restricted file is stored, and not used: nobody writes to him, and nothing lists, offers or counts him in."""

from typing import Any

from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_identities import make, merge, undo
from tests.kit.builders import purchase, record

SERVICE = "profile"
CHANNELS = ("email", "sms", "phone", "messaging", "post", "staff")
POINTS = [
    {"kind": "email", "value": "a@example.com"}, {"kind": "phone", "value": "+886912345678"},
    {"kind": "messaging", "value": "line:a"}, {"kind": "post", "value": "7 Road"},
]  # fmt: skip
WHY = {"reason": "erasure asked for; invoices must be kept"}


async def restrict(profile: Profile, customer: str = "a", **body: Any) -> Any:
    answer = await profile.client.put(f"/customers/{customer}/restriction", json=WHY | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def lift(profile: Profile, customer: str = "a") -> Any:
    answer = await profile.client.delete(f"/customers/{customer}/restriction")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def reach(profile: Profile, customer: str = "a") -> set[tuple[str | None, bool, str | None]]:
    """What is told of a customer over all channels for all purposes."""
    told = set()
    for purpose in ("service", "marketing", "survey", "loyalty"):
        items = [{"customer_id": customer, "channel": channel} for channel in CHANNELS]
        answer = await profile.client.post("/internal/reachability", json={"purpose": purpose, "items": items})
        told |= {(item["address"], item["consent"], item["why_not"]) for item in answer.json()["items"]}
    return told


async def shown(profile: Profile, path: str, **params: Any) -> list[str]:
    answer = await profile.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return [item.get("customer_id") or item["sku"] for item in answer.json()["items"]]


async def used(profile: Profile) -> dict[str, list[str]]:
    """Where customer ``a`` is used, and how."""
    for job in profile.service.runner.jobs:
        await profile.service.runner.run_once(job)
    return {
        "list": await shown(profile, "/customers"),
        "members": await shown(profile, "/segments/lifecycle/members", **{"class": "new"}),
        "offers": await shown(profile, "/customers/a/recommendations"),
        "duplicates": [
            one["customer_id"]
            for pair in (await profile.client.get("/duplicates")).json()["items"]
            for one in pair["customers"]
        ],
    }


async def test_nobody_writes_to_a_restricted_customer_over_any_channel_for_any_purpose(profile: Profile) -> None:
    await make(profile, "a", contact_points=POINTS)
    said = {"granted": True, "source": "page", "wording_version": "1"}
    assert (await profile.client.put("/customers/a/consents/email/marketing", json=said)).status_code == 200
    before = await reach(profile)
    assert ("a@example.com", True, None) in before
    assert ("a@example.com", False, "no-consent") in before
    await restrict(profile)
    assert await reach(profile) == {(None, False, "restricted")}
    await lift(profile)
    assert await reach(profile) == before
    assert await reach(profile, "nobody") == {(None, False, "unknown")}


async def test_a_restricted_customer_is_in_no_list_no_segment_and_gets_no_offers(profile: Profile) -> None:
    await make(profile, "a", email="same@example.com", name="A")
    await profile.client.post("/customers", json={"customer_id": "b", "email": "same@example.com"})
    ladder = [{"sku": sku, "name": sku, "category": "tea", "price": {"amount": price, "currency": "TWD"}}
              for sku, price in (("sku-1", "100"), ("sku-2", "150"))]  # fmt: skip
    await profile.take(*[record("product-changed", product) for product in ladder])
    await profile.take(record("purchase-recorded", purchase("a", "o-1", days_ago=5)))
    everywhere = await used(profile)
    assert everywhere == {"list": ["a", "b"], "members": ["a"], "offers": ["sku-2"], "duplicates": ["a", "b"]}
    await restrict(profile)
    assert await used(profile) == {"list": ["b"], "members": [], "offers": [], "duplicates": []}
    rows = (await profile.client.get("/customers", params={"restricted": True})).json()["items"]
    assert [(row["customer_id"], row["restricted"]) for row in rows] == [("a", True), ("b", False)]
    reader = token("profile:read")
    assert (await profile.client.get("/customers", params={"restricted": True}, headers=reader)).status_code == 403
    view = await profile.view("a")
    assert (view["restricted"], view["value"]["order_count"]) == (True, 1)
    await lift(profile)
    assert await used(profile) == everywhere


async def test_a_restriction_has_a_reason_is_staffs_and_is_published_once(profile: Profile) -> None:
    await make(profile, "a")
    path, own = "/customers/a/restriction", token("profile:read profile:write", "a")
    assert (await profile.client.put(path, json=WHY, headers=own)).status_code == 403
    assert (await profile.client.put(path, json={"reason": ""})).status_code == 422
    assert (await profile.client.put("/customers/b/restriction", json=WHY)).status_code == 404
    first = await restrict(profile)
    assert (first["restricted"], first["reason"], first["restricted_by"]) == (True, WHY["reason"], "developer")
    assert await restrict(profile, reason="another") == first
    assert (await profile.client.get(path)).json() == first
    assert (await profile.client.get(path, headers=own)).json() == {**first, "restricted_by": None}
    assert (await profile.client.get(path, headers=token("profile:read", "b"))).status_code == 404
    match = (await profile.client.get("/customers/a")).headers["ETag"]
    tagged = await profile.client.patch("/customers/a", json={"tags": ["t"]}, headers={"If-Match": match})
    assert tagged.status_code == 200
    assert (await lift(profile))["restricted"] is False
    assert await lift(profile) == (await profile.client.get(path)).json()
    told = [event["event"]["data"] for event in await profile.published("customer-changed")]
    states = [(data.get("restricted", False), data.get("tags", [])) for data in told]
    assert states == [(True, []), (True, ["t"]), (False, ["t"])]


async def test_who_is_restricted_under_one_id_is_restricted_whole_and_stays_so_after_an_undo(profile: Profile) -> None:
    await make(profile, "a", "b", contact_points=POINTS)
    await restrict(profile, "a")
    joined = await merge(profile, "a", "b")
    assert await reach(profile, "b") == {(None, False, "restricted")}
    assert await shown(profile, "/customers") == []
    assert (await profile.view("b"))["restricted"] is True
    await undo(profile, joined)
    assert (await shown(profile, "/customers"), await reach(profile, "a")) == (["b"], {(None, False, "restricted")})
    await merge(profile, "a", "b")
    await lift(profile, "a")
    again = await merge(profile, "b", await _another(profile))
    await restrict(profile, "c")
    await undo(profile, again)
    assert await reach(profile, "b") == {(None, False, "restricted")}


async def _another(profile: Profile) -> str:
    await make(profile, "c")
    return "c"
