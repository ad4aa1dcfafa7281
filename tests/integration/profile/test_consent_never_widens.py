"""Whatever is granted, withdrawn, joined and parted: nobody is reachable but where he agreed to be.

Beside the service runs a model of what was said, which knows nothing of how it is kept: who said it, at what time,
under which ids he was known then.
"""

import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.profile.house import Profile
from tests.integration.profile.test_consent_http import reach
from tests.integration.profile.test_identities import NO, YES, later, make, merge, say, undo

SERVICE = "profile"
SEEDS = int(os.environ.get("ROOST_TEST_SEEDS", "8"))
STEPS = 40
IDS = tuple("abcde")
CHANNELS = ("email", "sms")
PURPOSES = ("marketing", "survey", "service")
BY_DEFAULT = "service"
Asked = tuple[str, str]
"""A channel and a purpose."""


@dataclass(frozen=True)
class Statement:
    """What somebody said who was known under ``ids``, of which ``survivor`` answered for him."""

    time: int
    granted: bool
    survivor: str
    ids: frozenset[str]


@dataclass
class Model:
    """What was said and who is one; and what follows."""

    addresses: dict[str, dict[str, str]] = field(default_factory=dict)
    merges: dict[str, tuple[str, str]] = field(default_factory=dict)
    said: dict[Asked, list[Statement]] = field(default_factory=dict)
    time: int = 0

    def survivor(self, one: str) -> str:
        while into := dict(self.merges.values()).get(one):
            one = into
        return one

    def person(self, one: str) -> frozenset[str]:
        return frozenset(other for other in self.addresses if self.survivor(other) == self.survivor(one))

    def say(self, one: str, asked: Asked, granted: bool) -> None:
        self.time += 1
        statement = Statement(self.time, granted, self.survivor(one), self.person(one))
        self.said.setdefault(asked, []).append(statement)

    def may(self, one: str, asked: Asked, address: str) -> bool:
        """Whether he may be written to there; at most, for a service may be more careful."""
        person = self.person(one)
        said = self.said.get(asked, [])
        grants = [word for word in said if word.granted and word.survivor in person]

        def stands(which: str, since: int) -> bool:
            return any(which in word.ids and word.time > since for word in grants)

        withdrawn = {
            which: max((word.time for word in said if not word.granted and which in word.ids), default=0)
            for which in person
        }
        if any(at and not stands(which, at) for which, at in withdrawn.items()):
            return False
        channel, purpose = asked
        of = [which for which in person if self.addresses[which].get(channel) == address]
        return any(stands(which, withdrawn[which]) or purpose == BY_DEFAULT for which in of)

    def must(self, one: str, asked: Asked) -> str | None:
        """Where he is to be reached for sure: who has one id, by his own last word."""
        channel, purpose = asked
        if self.person(one) != {one} or channel not in self.addresses[one]:
            return None
        words = [
            word.granted
            for word in self.said.get(asked, [])
            if (word.survivor == one if word.granted else one in word.ids)
        ]
        return self.addresses[one][channel] if (words[-1] if words else purpose == BY_DEFAULT) else None


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_nobody_is_reachable_but_where_he_agreed_to_be(profile: Profile, seed: int) -> None:
    dice, model = random.Random(seed), Model()
    reached = 0
    for _ in range(STEPS):
        await step(profile, model, dice)
        items = [(one, channel) for one in model.addresses for channel in CHANNELS]
        for purpose in PURPOSES:
            for told in await reach(profile, purpose, *items):
                one, asked, address = told["customer_id"], (told["channel"], purpose), told["address"]
                if told["consent"] and address is not None:
                    assert told["why_not"] is None
                    assert model.may(one, asked, address), f"{one} {asked} {address}: {model}"
                    reached += 1
                else:
                    assert told["why_not"] is not None
                    assert model.must(one, asked) is None, f"{one} {asked}: {told} {model}"
    assert reached > 20


async def step(profile: Profile, model: Model, dice: random.Random) -> None:
    """One thing that may happen, if it may now."""
    later(profile)
    strangers = [one for one in IDS if one not in model.addresses]
    survivors = sorted({model.survivor(one) for one in model.addresses})
    what = dice.choices(["register", "say", "merge", "undo"], [3, 8, 2, 1])[0]
    if (what == "register" and strangers) or not survivors:
        one = dice.choice(strangers)
        has: dict[str, str] = {}
        if dice.random() < 0.7:
            has["email"] = f"{one}@example.com"
        if dice.random() < 0.5:
            has["sms"] = f"+88691234567{IDS.index(one)}"
        named: dict[str, Any] = {{"email": "email", "sms": "phone"}[channel]: value for channel, value in has.items()}
        await make(profile, one, **named)
        model.addresses[one] = has
    elif what == "merge" and len(survivors) > 1:
        from_id, into_id = dice.sample(survivors, 2)
        made = await merge(profile, from_id, into_id)
        model.merges[made] = (from_id, into_id)
    elif what == "undo" and model.merges:
        made = dice.choice(sorted(model.merges))
        await undo(profile, made)
        del model.merges[made]
    else:
        one, channel, purpose = dice.choice(sorted(model.addresses)), dice.choice(CHANNELS), dice.choice(PURPOSES)
        granted = dice.random() < 0.7
        body = {"granted": granted, "source": "account-page", "wording_version": "2026-1"}
        answer = await profile.client.put(f"/customers/{one}/consents/{channel}/{purpose}", json=body)
        assert answer.status_code == 200, answer.text
        model.say(one, (channel, purpose), granted)


async def test_a_grant_is_for_the_addresses_of_the_file_that_it_was_given_under(profile: Profile) -> None:
    await make(profile, "a", email="a@example.com")
    await make(profile, "b", email="b@example.com")
    await make(profile, "c")
    await say(profile, "b", YES)
    later(profile)
    made = await merge(profile, "b", "a")
    assert await marketing(profile, "a") == await marketing(profile, "b") == ("b@example.com", None)
    await say(profile, "a", YES)
    assert await marketing(profile, "b") == ("a@example.com", None), "what he says as one is for all of his"
    await say(profile, "b", NO)
    assert (await marketing(profile, "a"))[1] == "no-consent"
    await undo(profile, made)
    assert (await marketing(profile, "a"))[1] == (await marketing(profile, "b"))[1] == "no-consent"


async def test_who_agreed_without_an_address_is_not_written_to_at_another_files(profile: Profile) -> None:
    await make(profile, "a", email="a@example.com")
    await make(profile, "b")
    await say(profile, "b", YES)
    assert await marketing(profile, "b") == (None, "no-address")
    later(profile)
    await merge(profile, "b", "a")
    assert await marketing(profile, "a") == await marketing(profile, "b") == (None, "no-consent")
    service = await reach(profile, "service", ("b", "email"))
    assert service[0]["address"] == "a@example.com", "what a contract needs was never asked for"


async def marketing(profile: Profile, customer: str) -> tuple[str | None, str | None]:
    [told] = await reach(profile, "marketing", (customer, "email"))
    return told["address"], told["why_not"]
