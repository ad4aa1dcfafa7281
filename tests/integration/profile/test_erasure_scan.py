"""Nothing that says who somebody was is left of him, by whichever way it came in."""

from typing import Any

from shared.contracts.topics import SERVICES
from tests.integration.profile.house import Profile
from tests.integration.profile.test_erasures import answered, applied, erase
from tests.integration.profile.test_imports import send
from tests.kit.builders import at, cloud_event, purchase, record
from tests.kit.scanning import places_of

SERVICE = "profile"
MINE, OTHER = "pos:4712-x", "pos:other"
NAMES = ["Filename Forgetme", "Formername Forgetme", "Importname Forgetme", "Giftname Forgetme", "Notename Forgetme"]
NAMES += ["Reasonname Forgetme", "Topicname Forgetme"]
ADDRESSES = ["file@forgetme.example", "former@forgetme.example", "import@forgetme.example", "912345678", "M-90210"]
FAULTY = ["Faultyname Forgetme", "faulty@forgetme.example"]
NUMBERS = [
    "(0912) 345 678", "0912.345.678", "0912/345/678", "0912\u00a0345\u00a0678", "0912\u2011345678",
    "\uff10\uff19\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
]  # fmt: skip
NAMELESS = ["Numberedname Forgetme", "Addressedname Forgetme", *(f"Called {n} Forgetme" for n in range(len(NUMBERS)))]
"""In rows that failed, and that name no id, but something that he was known by."""


async def test_nothing_is_left_by_whichever_way_it_came_in(profile: Profile) -> None:
    made = await planted(profile)
    words = [*NAMES, *ADDRESSES, *FAULTY, *NAMELESS]
    before = {word for _, word in await places_of(profile.service.db, [*words, MINE])}
    assert before == {*NAMES, MINE}, "what isn't sealed the scan finds"
    failed = await failed_rows(profile, made)
    assert all(word in failed for word in [*FAULTY, *NAMELESS])

    await erase(profile, MINE, reason="a letter of Reasonname Forgetme")
    await applied(profile)
    await answered(profile, *SERVICES)
    for job in profile.service.runner.jobs:
        await profile.service.runner.run_once(job)

    found = await places_of(profile.service.db, [*words, MINE])
    assert found == [("outbox", MINE)], "in the announcement to the others, on its way"
    failed = await failed_rows(profile, made)
    assert [word for word in [*FAULTY, *NAMELESS] if word in failed] == []
    assert "Elsename" in failed, "another's row is still given back"
    assert "Strangename" in failed, "and one that names nobody, and nothing of his"
    for path in (f"/imports/{made}", f"/imports/{made}/errors", f"/imports/{made}/leftovers", "/dead-letters"):
        said = (await profile.client.get(path)).text
        assert not [word for word in [*words, MINE] if word in said], path
    again = await profile.client.post("/lookups", json={"kind": "member-number", "value": "M-90210"})
    assert again.status_code == 404


async def test_a_company_goes_with_the_persons_who_speak_for_it(profile: Profile) -> None:
    client = profile.client
    company = {"customer_id": MINE, "kind": "company", "name": "Forgetme Trading"}
    assert (await client.post("/customers", json=company)).status_code == 201
    speaker: dict[str, Any] = {"name": "Speakername Forgetme", "role": "buyer of Forgetme"}
    speaker |= {"contact_points": [{"kind": "email", "value": "speaker@forgetme.example"}]}
    added = await client.post(f"/customers/{MINE}/contact-persons", json=speaker)
    assert added.status_code == 201, added.text
    words = ["Forgetme Trading", "Speakername Forgetme", "buyer of Forgetme", "speaker@forgetme.example"]
    assert {word for _, word in await places_of(profile.service.db, words)} == set(words[:3])

    await erase(profile, MINE)
    await applied(profile)
    await answered(profile, *SERVICES)

    assert await places_of(profile.service.db, [*words, MINE]) == [("outbox", MINE)]


async def planted(profile: Profile) -> str:
    """A person with whatever says who he is; answers the import that some of it came with."""
    client = profile.client
    former = {"name": "Formername Forgetme", "phone": "+886912345678", "email": "former@forgetme.example"}
    later: dict[str, Any] = {"name": "Filename Forgetme", "email": "file@forgetme.example"}
    sale = cloud_event("purchase-recorded", purchase(MINE, "o-1"))
    del sale["data"]["customer_id"]
    sale["data"]["customer_ref"] = {"kind": "phone", "value": "0912-345-678"}
    made = [
        await client.post("/customers", json={"customer_id": MINE, **former}),
        await client.patch(f"/customers/{MINE}", json=later, headers={"If-Match": "*"}),
        await client.post("/customers", json={"customer_id": OTHER, "name": "Elsename"}),
        await client.post(f"/customers/{MINE}/identifiers", json={"kind": "member-number", "value": "M-90210"}),
        await client.post(f"/customers/{MINE}/notes", json={"text": "Notename Forgetme likes jasmine"}),
        await client.put(f"/customers/{MINE}/restriction", json={"reason": "asked by Reasonname Forgetme"}),
        await client.delete(f"/customers/{MINE}/restriction"),
        await client.post("/events", json=sale, headers={"Content-Type": "application/cloudevents+json"}),
    ]
    assert all(answer.is_success for answer in made), [answer.text for answer in made if not answer.is_success]
    complaint = {"customer_id": MINE, "feedback_id": "f-1", "channel": "web", "kind": "complaint", "occurred_at": at(2)}
    await profile.take(
        record("purchase-recorded", purchase(MINE, "o-3", attributes={"card": "for Giftname Forgetme"})),
        record("feedback-received", {**complaint, "topic": "Topicname Forgetme"}),
    )
    rows = [
        "customer_id,identifiers.member-number,name,email,phone",
        f"{MINE},,Importname Forgetme,import@forgetme.example,",
        f"{MINE},,Faultyname Forgetme,faulty@forgetme.example,not a phone",
        ",M-90210,Numberedname Forgetme,,not a phone",
        ",,Addressedname Forgetme,file@forgetme.example,not a phone",
        *(f",,Called {n} Forgetme,no address,{number}" for n, number in enumerate(NUMBERS)),
        ",,Strangename,strange@example.com,not a phone",
        f"{OTHER},,Elsename,,not a phone",
    ]
    done = await send(profile, "\n".join(rows) + "\n")
    assert (done["changed"], done["failed"]) == (1, 5 + len(NUMBERS)), done
    for job in profile.service.runner.jobs:
        await profile.service.runner.run_once(job)
    import_id: str = done["id"]
    return import_id


async def failed_rows(profile: Profile, import_id: str) -> str:
    return (await profile.client.get(f"/imports/{import_id}/failed-rows")).text
