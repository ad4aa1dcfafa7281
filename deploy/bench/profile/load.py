"""A client that asks as fast as it is answered, over so many connections, and costs little itself."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

_LENGTH = b"content-length: "
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answered:
    """What one round of requests took, in seconds."""

    seconds: float
    each: Sequence[float]

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.each) / self.seconds

    @property
    def p99_ms(self) -> float:
        """What 99 of 100 didn't take longer than."""
        return float(np.percentile(self.each, 99)) * 1000


async def ask(url: str, token: str, paths: Sequence[str], connections: int) -> Answered:
    """GETs every path once. Raises ConnectionError for an answer that is no 200."""
    host = urlsplit(url)
    waiting = iter(paths)
    each: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(
        *(_one(str(host.hostname), int(host.port or 80), token, waiting, each) for _ in range(connections))
    )
    return Answered(time.perf_counter() - began, each)


async def _one(host: str, port: int, token: str, paths: Iterator[str], each: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for path in paths:
            began = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n".encode())
            head = await reader.readuntil(_END)
            length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            if not head.startswith(b"HTTP/1.1 200 "):
                raise ConnectionError(f"{path.split('/')[1]} answered {head[:40]!r}")
            each.append(time.perf_counter() - began)
    finally:
        writer.close()
