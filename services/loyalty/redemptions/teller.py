"""Who asks at the same time is served in one transaction, and each has an answer of his own."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from services.loyalty.redemptions.commands import Command
from services.loyalty.redemptions.desk import ApartError, Desk
from shared.db import Database
from shared.http.idempotency import Claim, Replay, claim_all, disclaim

LANES = 1
"""So many transactions at the same time that serve several: while they run, who comes next gathers."""
MOST = 64
"""Of so many commands each, which one statement writes down in milliseconds."""
_T = TypeVar("_T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Waiting:
    claim: Claim
    command: Command[Any]
    answer: "asyncio.Future[Any]"


class Teller:
    """Takes commands, each with its idempotency key, and serves those that wait together.

    What can't share a transaction, and whatever was in one that failed, is served once more by itself: by its key it
    has its effect once, whatever became of the first.
    """

    def __init__(self, db: Database, desk: Desk, *, lanes: int = LANES) -> None:
        self.db, self.desk, self._lanes = db, desk, lanes
        self._waiting: deque[_Waiting] = deque()
        # Who is served alone may wait for a lock: others shall find a connection meanwhile.
        self._apart = asyncio.Semaphore(max(1, db.connections // 2))
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, claim: Claim, command: Command[_T]) -> _T | Replay:
        """What the command answers, or how the first one with its key ended. Raises what ``Desk`` says, and what
        ``idempotency.claim`` raises."""
        waiting = _Waiting(claim, command, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._busy < self._lanes:
            self._busy += 1
            # What several ask for is nobody's request: it has none of its context.
            lane = asyncio.create_task(self._lane(), context=Context())
            self._tasks.add(lane)
            lane.add_done_callback(self._tasks.discard)
        try:
            answer: _T | Replay = await waiting.answer
        except ApartError:
            return await self._alone(claim, command)
        return answer

    async def _lane(self) -> None:
        try:
            while batch := self._next():
                await self._answer(batch)
        finally:
            # At once with finding nobody waiting: whoever comes now begins the next.
            self._busy -= 1

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        try:
            answers = await self._together(batch)
        except Exception as error:
            _log.warning("served-apart", commands=len(batch), error=type(error).__name__)
            answers = [ApartError()] * len(batch)
        except BaseException:
            for one in batch:
                one.answer.cancel()
            raise
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():
                # Whoever asked has gone.
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)

    def _next(self) -> list[_Waiting]:
        """Those who wait, no key twice: the second comes next, and finds what became of the first."""
        batch: dict[tuple[str, str | None], _Waiting] = {}
        later: list[_Waiting] = []
        while self._waiting and len(batch) < MOST:
            one = self._waiting.popleft()
            if not one.answer.done():
                attempt = one.claim.attempt
                if batch.setdefault((attempt.route, attempt.key), one) is not one:
                    later.append(one)
        self._waiting.extendleft(reversed(later))
        return list(batch.values())

    async def _together(self, batch: Sequence[_Waiting]) -> list[Any]:
        async with self.db.transaction() as tx:
            answers: list[Any] = list(await claim_all(tx, [one.claim for one in batch]))
            fresh = [n for n, found in enumerate(answers) if found is None]
            served = await self.desk.serve(tx, [batch[n].command for n in fresh])
            for n, answer in zip(fresh, served, strict=True):
                answers[n] = answer
            refused = [n for n in fresh if isinstance(answers[n], Exception)]
            await disclaim(tx, [batch[n].claim.attempt for n in refused])
        return answers

    async def _alone(self, claim: Claim, command: Command[_T]) -> _T | Replay:
        attempt, status, resource_id = claim
        async with asyncio.timeout(self.db.patience):
            await self._apart.acquire()
        try:
            async with self.db.transaction() as tx:
                if replay := await attempt.claim(tx, status=status, resource_id=resource_id):
                    return replay
                return await self.desk.serve_alone(tx, command)
        finally:
            self._apart.release()
