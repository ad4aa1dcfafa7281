"""The fields of persons and companies, declared attributes, and the persons of a company."""

from typing import Any

from tests.integration.profile.house import Profile, token

SERVICE = "profile"
COMPANY = {
    "customer_id": "a",
    "kind": "company",
    "name": "Example Company",
    "industry": "catering",
    "company_size": 12,
    "business_model": "b2b",
    "special_needs": ["invoice by post"],
    "anniversaries": [{"name": "opened", "month": 5, "day": 4, "calendar": "lunar", "leap_month": True}],
}
PATH = "/customers/a/contact-persons"


async def answered(profile: Profile, method: str, path: str, body: Any, match: str | None = "*") -> Any:
    return await profile.client.request(method, path, json=body, headers={"If-Match": match} if match else {})


async def test_a_file_holds_what_a_company_and_a_person_are(profile: Profile) -> None:
    made = await profile.client.post("/customers", json=COMPANY)
    view = await profile.view("a")
    assert (made.status_code, {name: view[name] for name in COMPANY}) == (201, COMPANY)
    patch = {"occupation": "baker", "company_size": None, "anniversaries": [{"name": "n", "month": 2, "day": 29}]}
    changed = (await answered(profile, "PATCH", "/customers/a", patch)).json()
    assert (changed["occupation"], changed["company_size"], changed["industry"]) == ("baker", None, "catering")
    assert [day["calendar"] for day in changed["anniversaries"]] == ["solar"]
    history = (await profile.client.get("/customers/a/history", params={"field": "anniversaries"})).json()["items"]
    assert history[-1]["value"] == COMPANY["anniversaries"]
    for bad in (
        {"company_size": 0}, {"anniversaries": [{"name": "n", "month": 2, "day": 30}]}, {"special_needs": [""]},
        {"anniversaries": [{"month": 2, "day": 3}]}, {"industry": "a\nb"},
    ):  # fmt: skip
        assert (await answered(profile, "PATCH", "/customers/a", bad)).status_code == 422


async def test_a_declared_attribute_takes_values_of_its_type_alone(profile: Profile) -> None:
    await profile.client.post("/customers", json={"customer_id": "a", "attributes": {"shoe": "large", "since": 5}})
    declared = await answered(profile, "PUT", "/attributes/shoe", {"type": "integer"}, None)
    assert (declared.status_code, declared.headers["ETag"]) == (200, '"1"')
    assert (await answered(profile, "PATCH", "/customers/a", {"tags": ["x"]})).status_code == 200
    for method, path in (("PATCH", "/customers/a"), ("POST", "/customers")):
        refused = await answered(profile, method, path, {"attributes": {"shoe": "small", "hat": "any"}})
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (422, "invalid-attribute")
        assert problem["errors"][0]["pointer"] == "/attributes/shoe"
    kept = (await answered(profile, "PATCH", "/customers/a", {"attributes": {"shoe": 42}})).json()
    assert kept["attributes"] == {"shoe": 42, "since": 5}
    gone = (await answered(profile, "PATCH", "/customers/a", {"attributes": {"shoe": None}})).json()
    assert gone["attributes"] == {"since": 5}


async def test_a_declaration_is_changed_by_its_version(profile: Profile) -> None:
    path = "/attributes/shoe"
    assert (await profile.client.get(path)).status_code == 404
    assert (await answered(profile, "PUT", path, {"type": "integer"}, '"1"')).status_code == 412
    assert (await answered(profile, "PUT", path, {"type": "integer"}, None)).status_code == 200
    assert (await answered(profile, "PUT", path, {"type": "decimal"}, None)).status_code == 428
    assert (await answered(profile, "PUT", path, {"type": "decimal"}, '"7"')).status_code == 412
    assert (await answered(profile, "PUT", path, {"type": "decimal"}, '"1"')).headers["ETag"] == '"2"'
    assert (await answered(profile, "PUT", path, {"type": "colour"})).status_code == 422
    await answered(profile, "PUT", "/attributes/hat", {"type": "string", "description": "any"}, None)
    listed = (await profile.client.get("/attributes", params={"limit": 1})).json()
    assert [one["name"] for one in listed["items"]] == ["hat"]
    rest = (await profile.client.get("/attributes", params={"cursor": listed["next_cursor"]})).json()
    assert rest == {"items": [{"name": "shoe", "type": "decimal", "description": None}], "next_cursor": None}


async def test_a_company_has_persons_with_names_roles_and_addresses(profile: Profile) -> None:
    await profile.client.post("/customers", json=COMPANY)
    new = {"name": "Example Buyer", "role": "buyer", "contact_points": [{"kind": "phone", "value": "02-2345-6789"}]}
    key = {"Idempotency-Key": "k"}
    made = await profile.client.post(PATH, json=new, headers=key)
    again = await profile.client.post(PATH, json=new, headers=key)
    assert (made.status_code, again.status_code, again.json()) == (201, 201, made.json())
    assert made.json()["contact_points"] == [{"kind": "phone", "value": "+886223456789", "verified": False}]
    one = f"{PATH}/{made.json()['person_id']}"
    assert (await profile.client.get(one)).json() == made.json()
    assert (await profile.client.patch(one, json={"role": None})).status_code == 428
    changed = await answered(profile, "PATCH", one, {"role": None, "contact_points": []}, made.headers["ETag"])
    assert (changed.status_code, changed.json()["name"], changed.json()["role"]) == (200, "Example Buyer", None)
    assert (await answered(profile, "PATCH", one, {"role": "x"}, made.headers["ETag"])).status_code == 412
    for bad, pointer in (
        ({"name": None}, "/name"), ({"contact_points": [{"kind": "email", "value": "x"}]}, "/contact_points/0/value"),
        ({"person_id": "x"}, "/person_id"),
    ):  # fmt: skip
        refused = await answered(profile, "PATCH", one, bad)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    second = await profile.client.post(PATH, json={"name": "Another"})
    listed = (await profile.client.get(PATH)).json()["items"]
    assert {person["name"] for person in listed} == {"Example Buyer", "Another"}
    assert (await profile.client.delete(one)).json() == changed.json()
    assert (await profile.client.delete(one)).status_code == 404
    assert (await profile.client.get(PATH)).json()["items"] == [second.json()]


async def test_contact_persons_are_of_companies_and_for_staff(profile: Profile) -> None:
    await profile.client.post("/customers", json={"customer_id": "a"})
    refused = await profile.client.post(PATH, json={"name": "A"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not-a-company")
    assert (await profile.client.post("/customers/b/contact-persons", json={"name": "A"})).status_code == 404
    await profile.client.post("/customers", json=COMPANY | {"customer_id": "c"})
    person = (await profile.client.post("/customers/c/contact-persons", json={"name": "Planted"})).json()
    assert (await profile.client.get(f"{PATH}/{person['person_id']}")).status_code == 404
    own = token("profile:read profile:write", "c")
    assert (await profile.client.get("/customers/c/contact-persons", headers=own)).status_code == 403
    assert all(b"Planted" not in bytes(row["value"]) for row in await profile.published())
