"""Files of customers over HTTP: what they write, what they refuse, what a crash and a second time leave of them."""

from typing import Any

from tests.integration.profile.house import Profile

SERVICE = "profile"
HEADER = "customer_id,name,email,phone,tags,consents.email.marketing,consents.source,consents.wording_version"


async def send(profile: Profile, body: str | bytes, media: str = "text/csv", **query: Any) -> dict[str, Any]:
    """Sends a file, has the job work through it, and answers the import."""
    answer = await profile.client.post("/imports", content=body, headers={"Content-Type": media}, params=query)
    assert answer.status_code == 202, answer.text
    await work(profile)
    found: dict[str, Any] = (await profile.client.get(f"/imports/{answer.json()['id']}")).json()
    return found


async def work(profile: Profile) -> None:
    for job in profile.service.runner.jobs:
        if job.name == "import":
            await profile.service.runner.run_once(job)


async def test_a_row_is_a_customer_with_addresses_tags_and_consent(profile: Profile) -> None:
    rows = "\ufeff" + HEADER + '\r\npos:1,"Planted, Name",Planted@Example.com,0912-345-678,tea; vip,yes,till,2026-1\r\n'
    done = await send(profile, rows)
    assert (done["state"], done["rows"], done["created"], done["failed"]) == ("done", 1, 1, 0), done
    view = await profile.view("pos:1")
    assert (view["name"], view["email"], view["phone"]) == ("Planted, Name", "planted@example.com", "+886912345678")
    assert view["tags"] == ["tea", "vip"]
    consents = (await profile.client.get("/customers/pos:1/consents")).json()["items"]
    assert [(one["channel"], one["purpose"], one["granted"], one["source"]) for one in consents] == [
        ("email", "marketing", True, "till")
    ]
    history = (await profile.client.get("/customers/pos:1/history")).json()["items"]
    assert {said["source"] for said in history} == {f"import:{done['id']}"}
