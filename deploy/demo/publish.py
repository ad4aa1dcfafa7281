"""Putting the demo's purchases on the topic, as a shop's till would."""

import asyncio
from collections.abc import Callable, Sequence

from deploy.demo.replay import Replayed
from shared.messaging import kafka
from shared.messaging.envelope import CONTENT_TYPE
from shared.settings import KafkaSettings

TOPIC = "purchase-recorded"
AT_ONCE = 500


async def publish(settings: KafkaSettings, events: Sequence[Replayed], progress: Callable[[int], None]) -> None:
    """Publishes the events in their order; returns once the broker has acknowledged all. ``progress``: how many so far.

    Raises aiokafka's KafkaError when the broker refuses or stays away.
    """
    async with kafka.producer(settings) as out:
        for start in range(0, len(events), AT_ONCE):
            some = events[start : start + AT_ONCE]
            headers = [("content-type", CONTENT_TYPE)]
            sent = [await out.send(TOPIC, event.value, key=event.key, headers=headers) for event in some]
            await asyncio.gather(*sent)
            progress(start + len(some))
