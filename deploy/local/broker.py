"""What the two local brokers have in common."""

import asyncio
import struct
import subprocess
import time
from pathlib import Path
from typing import Protocol

from deploy.local.process import ProcessFailed, last_lines

API_VERSIONS = 18


class Broker(Protocol):
    """A Kafka broker on this machine, started and stopped with us."""

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, as Kafka clients want it."""

    @property
    def durable(self) -> bool:
        """Whether records, topics and committed offsets outlive a restart of the broker."""

    @property
    def idempotent_producer(self) -> bool:
        """Whether the broker answers InitProducerId, so that a producer may set `enable_idempotence`."""

    @property
    def pid(self) -> int | None:
        """The broker's process, while it runs."""

    async def stop(self) -> None:
        """End the broker; a second call does nothing."""


async def until_it_answers(broker: subprocess.Popen[bytes], port: int, log: Path, seconds: float) -> None:
    """Wait until the broker answers a Kafka request; ProcessFailed if it ends or is late."""
    deadline = time.monotonic() + seconds
    while broker.poll() is None and time.monotonic() < deadline:
        if await answers(port):
            return
        await asyncio.sleep(0.02)
    raise ProcessFailed(f"the broker did not answer on port {port}\n{last_lines(log)}")


async def answers(port: int) -> bool:
    """Whether a broker on 127.0.0.1 answers ApiVersions v0, which needs no state of it, within 2 s."""
    correlation = 7
    # Header v1: key, version, correlation, null client id (Kafka protocol guide, "Request Header v1").
    request = struct.pack(">hhih", API_VERSIONS, 0, correlation, -1)
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(struct.pack(">i", len(request)) + request)
                _size, answered, error = struct.unpack(">iih", await reader.readexactly(10))
                return bool(answered == correlation and error == 0)
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError):
        return False
