"""A command that is sent many times, one after the other or at once, has one effect; its key takes no other command."""

import asyncio
from collections import Counter

from tests.integration.loyalty.test_command_kills import STORY, Command, Living, living
from tests.integration.loyalty.test_redemptions import tables
from tests.kit.databases import Databases

SERVICE = "loyalty"
AT_ONCE = 6


async def sent_at_once(lived: Living, command: Command) -> None:
    """One has the effect; each of the others is answered the same, or to ask again."""
    answers = await asyncio.gather(*(lived.ask(command) for _ in range(AT_ONCE)))
    done = [answer for answer in answers if answer.status_code < 300]
    waiting = [answer for answer in answers if answer.status_code >= 300]
    assert {answer.json()["code"] for answer in waiting} <= {"idempotency-in-progress"}, command.name
    replayed = Counter(answer.headers.get("Idempotency-Replayed") for answer in done)
    assert replayed[None] == 1, command.name
    assert len({answer.text for answer in done}) == 1, command.name
    lived.known[command.name] = done[0].json()


async def test_of_every_command_that_is_sent_many_times_at_once_there_is_one(databases: Databases) -> None:
    async with living(databases) as lived:
        for command in STORY:
            await sent_at_once(lived, command)
            before = await tables(lived.shop)
            again = await lived.ask(command)
            assert (again.json(), again.headers["Idempotency-Replayed"]) == (lived.known[command.name], "true")
            assert await tables(lived.shop) == before, command.name
        proof = await lived.shop.verified()
        assert (proof.broken, sum(proof.books.values())) == (None, 0)


async def test_a_key_with_another_body_is_refused_and_changes_nothing(databases: Databases) -> None:
    async with living(databases) as lived:
        for command in STORY:
            await lived.done(command)
            before = await tables(lived.shop)
            path, body = command.filled(lived.known)
            key = f"key-{STORY.index(command)}"
            for other in others(body):
                who = lived.second if command.second else lived.first
                refused = await who.post(path, json=other, headers={"Idempotency-Key": key})
                assert refused.status_code == 422, (command.name, refused.text)
                assert refused.json()["code"] == "idempotency-key-reused", refused.text
            assert await tables(lived.shop) == before, command.name


def others(body: dict[str, object]) -> list[dict[str, object]]:
    """The body with each of its words and numbers changed, one at a time, to others that could be meant."""
    found: list[dict[str, object]] = []
    for name, value in body.items():
        if isinstance(value, int):
            found.append({**body, name: value + 1})
        elif name in ("reason", "order_id", "name"):
            found.append({**body, name: f"{value}x"})
    return found


async def test_a_key_of_one_thing_is_refused_for_another(databases: Databases) -> None:
    async with living(databases) as lived:
        for command in STORY:
            await lived.done(command)
        twins = (("committed", "kept"), ("voided", "kept"), ("undone", "plain"), ("approved", "too much"))
        before = await tables(lived.shop)
        for name, other in twins:
            command = next(one for one in STORY if one.name == name)
            known = {**lived.known, command.path.split("$")[1].split("/")[0]: lived.known[other]}
            refused = await Living(lived.shop, lived.first, lived.second, known).ask(command)
            assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused"), name
        assert await tables(lived.shop) == before
