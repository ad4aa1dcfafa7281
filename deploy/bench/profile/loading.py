"""A file of customers, from its first byte until its last row stands; then who of them may be one person."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from deploy.bench.profile.files import customer_file
from deploy.bench.stage import Stage
from services.profile.duplicates.matching import Matching
from shared.db import fetch
from shared.http.auth import issue_token
from shared.service import Service

_MARKED = "SELECT count(*) AS marks FROM match_marks"


@dataclass(frozen=True, slots=True)
class Imported:
    """Rows, and the seconds that the file took to arrive and to be worked through."""

    rows: int
    received_seconds: float
    applied_seconds: float

    @property
    def per_second(self) -> float:
        """Rows a second, both taken together."""
        return self.rows / (self.received_seconds + self.applied_seconds)


@dataclass(frozen=True, slots=True)
class Searched:
    """Customers, how long the search took, how many pairs it compared and how many it suggests."""

    customers: int
    seconds: float
    pairs: int
    suggested: int

    @property
    def of_all(self) -> float:
        """The share of all pairs that was compared."""
        return self.pairs / (self.customers * (self.customers - 1) / 2)


async def load(stage: Stage, service: Service, customers: int, show: Callable[[int, int], None]) -> Imported:
    """Sends a file and has the job work through it, as POST /imports does. Raises AssertionError for a row that isn't
    a customer afterwards."""
    body = customer_file(customers)
    [job] = [job for job in service.runner.jobs if job.name == "import"]
    headers = {"Authorization": f"Bearer {issue_token(stage.secret, 'admin')}", "Content-Type": "text/csv"}
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://profile", headers=headers, timeout=600
    ) as client:
        began = time.perf_counter()
        answer = await client.post("/imports", content=body)
        assert answer.status_code == 202, answer.text
        received = time.perf_counter() - began
        done = answer.json()
        while done["state"] in ("waiting", "running"):
            await service.runner.run_once(job)
            done = (await client.get(f"/imports/{done['id']}")).json()
            show(done["done"], customers)
        applied = time.perf_counter() - began - received
    assert (done["state"], done["created"], done["failed"]) == ("done", customers, 0), str(done)[:500]
    return Imported(customers, received, applied)


async def search(service: Service, customers: int) -> Searched:
    """Compares everybody whom the file has made."""
    [matching] = [owner for job in service.runner.jobs if isinstance(owner := _owner(job.run), Matching)]
    async with service.db.transaction() as tx:
        marked = (await fetch(tx, _MARKED))[0]["marks"]
    assert marked >= customers, f"{marked} are marked"
    began = time.perf_counter()
    found = await matching.match()
    return Searched(customers, time.perf_counter() - began, found.pairs, found.suggested)


def _owner(method: object) -> object:
    return getattr(method, "__self__", None)
