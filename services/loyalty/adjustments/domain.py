"""Points that staff gave or took, why, and who agreed."""

from datetime import datetime
from typing import Literal

import msgspec

State = Literal["proposed", "applied", "refused"]
Fault = Literal["second-person-needed", "adjustment-decided", "expires-before-approval"]


class Adjustment(msgspec.Struct, frozen=True):
    """``points`` given, or taken where they are below zero. ``reason`` is None once its customer was erased.

    ``expires_at``: of points given; None is by the programme's rule. ``decided_by`` is the second person, where the
    adjustment needed one.
    """

    adjustment_id: str
    account_id: int
    points: int
    reason: str | None
    expires_at: datetime | None
    state: State
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None

    def decided(self, state: State, by: str, at: datetime) -> "Adjustment":
        """What a second person makes of a proposal. Raises AdjustmentRefusedError."""
        if self.state != "proposed":
            raise AdjustmentRefusedError("adjustment-decided", f"It is {self.state} already.")
        if by == self.proposed_by:
            raise AdjustmentRefusedError("second-person-needed", "Who proposed it doesn't decide on it.")
        if state == "applied" and self.expires_at is not None and self.expires_at <= at:
            raise AdjustmentRefusedError("expires-before-approval", "Its points would have expired by now.")
        return msgspec.structs.replace(self, state=state, decided_by=by, decided_at=at)


class Adjusted(msgspec.Struct, frozen=True):
    """An adjustment and whose it is."""

    adjustment: Adjustment
    customer_id: str


class AdjustmentRefusedError(Exception):
    """What was asked of an adjustment can't be."""

    def __init__(self, code: Fault, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
