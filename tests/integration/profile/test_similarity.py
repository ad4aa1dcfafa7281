"""Who is suggested by likeness, and that it is kept right as files change, whatever the order."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.db import execute, fetch
from tests.integration.profile.house import Profile
from tests.integration.profile.test_duplicates import match, pairs, suggested
from tests.integration.profile.test_erasures import applied, erase
from tests.integration.profile.test_filling import patch
from tests.integration.profile.test_identities import make, merge, undo
from tests.kit.scanning import places_of

SERVICE = "profile"
BIRTHDAY = {"month": 8, "day": 15}
NAMES = ["好茶客", "Tea House", "House, Tea", "Tee House", "绿茶", None]
EMAILS = ["x@example.com", "y@example.com", None]
BIRTHDAYS = [BIRTHDAY, {"month": 1, "day": 1}, None]


def post(address: str) -> dict[str, Any]:
    return {"contact_points": [{"kind": "post", "value": address}]}


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"name": "Tea House", "phone": "0912345678"}, {"name": "House Tea", "phone": "0912345687"}, {"name", "phone"}),
        ({"name": "Tea House", "phone": "0912345678"}, {"name": "House Tea", "phone": "0912345999"}, None),
        ({"name": "Tea House", **post("5 Long Street, Oldtown")},
         {"name": "Tea Houses", **post("Long Street 5 Oldtown")}, {"name", "post"}),
        ({"name": "好 茶客", "birthday": BIRTHDAY}, {"name": "好茶客", "birthday": BIRTHDAY}, {"name", "birthday"}),
        ({"name": "好茶客", "birthday": BIRTHDAY}, {"name": "好茶人", "birthday": BIRTHDAY}, None),
        ({"name": "好茶客"}, {"name": "好茶客"}, None),
        ({"phone": "0912345678", "birthday": BIRTHDAY},
         {"phone": "0912345678", "birthday": {"month": 1, "day": 1}}, None),
        ({"email": "x@example.com", "kind": "company"}, {"email": "x@example.com"}, None),
    ],
)  # fmt: skip
async def test_what_speaks_for_one_person_and_what_is_too_little(
    profile: Profile, one: dict[str, Any], other: dict[str, Any], found: set[str] | None
) -> None:
    await make(profile, "a", **one)
    await make(profile, "b", **other)
    listed = await suggested(profile)
    assert [{evidence["field"] for evidence in pair["evidence"]} for pair in listed] == ([found] if found else [])


async def test_a_suggestion_goes_and_comes_with_the_files_and_groups(profile: Profile) -> None:
    await make(profile, "a", "b", email="x@example.com")
    await make(profile, "c", name="Tea House", birthday=BIRTHDAY)
    assert pairs(await suggested(profile)) == [("a", "b")]
    await patch(profile, "b", email="other@example.com", name="House Tea", birthday=BIRTHDAY)
    assert pairs(await suggested(profile)) == [("b", "c")]
    made = await merge(profile, "b", "a")
    assert pairs(await suggested(profile)) == [("a", "c")]
    restricted = await profile.client.put("/customers/a/restriction", json={"reason": "asked"})
    assert restricted.status_code == 200
    assert await suggested(profile) == []
    assert (await profile.client.delete("/customers/a/restriction")).status_code == 200
    assert pairs(await suggested(profile)) == [("a", "c")]
    await undo(profile, made)
    assert pairs(await suggested(profile)) == [("b", "c")]


async def test_nothing_of_a_name_or_an_address_stands_in_what_is_compared_by(profile: Profile) -> None:
    await make(profile, "a", "b", name="Zugplanted Name", email="zugplanted@example.com", birthday=BIRTHDAY)
    await match(profile)
    async with profile.service.db.transaction() as tx:
        for table in ("match_keys", "crowded_keys", "duplicate_pairs", "match_marks"):
            rows = await fetch(tx, f"SELECT CAST(to_jsonb(t) AS text) AS line FROM {table} AS t")
            assert rows or table in ("crowded_keys", "match_marks")
            assert not any("zugplanted" in row["line"].lower() for row in rows)


async def test_who_is_erased_is_compared_with_nobody_and_stands_in_no_suggestion(profile: Profile) -> None:
    await make(profile, "a", "gone-for-good", "c", email="x@example.com")
    assert len(await suggested(profile)) == 3
    await erase(profile, "gone-for-good")
    await applied(profile)
    places = {table for table, _ in await places_of(profile.service.db, ["gone-for-good"])}
    assert places == {"outbox", "erasures"}, "until the other services have answered"
    assert pairs(await suggested(profile)) == [("a", "c")]


_file = st.fixed_dictionaries(
    {"name": st.sampled_from(NAMES), "email": st.sampled_from(EMAILS), "birthday": st.sampled_from(BIRTHDAYS)}
)
_step = st.tuples(st.sampled_from("abcdefgh"), _file, st.booleans())


@given(st.lists(_step, min_size=1, max_size=12))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_found_as_files_change_is_what_a_search_over_all_finds(
    profile: Profile, steps: list[tuple[str, dict[str, Any], bool]]
) -> None:
    async with profile.service.db.transaction() as tx:
        await execute(tx, "DELETE FROM customers")
    await match(profile)
    made = set()
    for customer, fields, now in steps:
        if customer in made:
            await patch(profile, customer, **fields)
        else:
            await make(profile, customer, **{name: value for name, value in fields.items() if value})
            made.add(customer)
        if now:
            await match(profile)
    found = await suggested(profile)
    async with profile.service.db.transaction() as tx:
        for table in ("match_keys", "crowded_keys", "duplicate_pairs"):
            await execute(tx, f"DELETE FROM {table}")
        await execute(tx, "INSERT INTO match_marks (customer_id) SELECT customer_id FROM customers")
    assert await suggested(profile) == found
