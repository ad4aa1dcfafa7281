"""What rules and rewards bring, over HTTP: for staff."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.loyalty.effects import examples
from services.loyalty.effects.application import EffectRefusedError, Effects, Figures
from services.loyalty.effects.domain import CONFIDENCE, Group, Increment, Kind, Lacking
from services.loyalty.effects.store import Effect
from services.loyalty.openapi import answers, page
from services.loyalty.programmes.fields import Id, Name, Strict
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.types import PRINTABLE
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import ProblemError, conflict, invalid, not_found
from shared.http.routing import Router

_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime, Field(ge=_BEGIN, le=_END)]
Reader = Annotated[Principal, staff_only("loyalty:read")]
Writer = Annotated[Principal, staff_only("loyalty:write")]
EffectId = Annotated[str, Path(pattern=PRINTABLE.removesuffix(r"(?!\n)"))]


class What(Strict):
    """One of them."""

    rule_id: Id | None = None
    reward_id: Id | None = None

    @model_validator(mode="after")
    def _one(self) -> "What":
        if (self.rule_id is None) == (self.reward_id is None):
            raise ValueError("give rule_id or reward_id")
        return self

    @property
    def target(self) -> tuple[Kind, str]:
        """What it is, and its id."""
        return ("rule", self.rule_id) if self.rule_id is not None else ("reward", self.reward_id or "")


class EffectBody(Strict):
    """What is to be measured: ``holdout_percent`` is what the rule or reward itself says that it is kept from."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": examples.BODY})

    name: Name
    what: What
    since: Annotated[Moment, Field(alias="from")]
    until: Annotated[Moment, Field(alias="to")]
    holdout_percent: Annotated[int, Field(ge=1, le=50)]
    metric: Literal["spend"] = "spend"

    @model_validator(mode="after")
    def _period(self) -> "EffectBody":
        if self.since >= self.until:
            raise ValueError("from is before to")
        return self


class EffectView(BaseModel):
    """A measurement."""

    model_config = ConfigDict(json_schema_extra={"example": examples.EFFECT})

    id: str
    name: str
    what: What
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    holdout_percent: int
    metric: Literal["spend"]
    created_at: datetime


class GroupView(BaseModel):
    """One side: persons who had bought before it began, and what they bought from then on: net of what came back, in
    the house's currency; and the points that these orders gave."""

    persons: int
    spend: str
    spend_per_person: str | None = None
    points_per_person: str | None = None


class IncrementView(BaseModel):
    """What a treated person spent more than one who was held out, with its confidence interval; and all treated."""

    per_person: str
    low: str
    high: str
    total: str
    confidence: str
    degrees: str
    method: Literal["Welch 1947"]


class LackingView(BaseModel):
    """Why there is no figure: each side needs ``least`` persons."""

    treated: int
    held_out: int
    least: int


class CostView(BaseModel):
    """What it cost. Of a rule: ``points`` that the treated were given beyond what they would have been, and their worth
    where the programme says one (`points.value`). Of a reward: ``uses``, how often it was taken, ``uses_of_treated`` of
    them by those who are compared, and what these cost by the `cost` of the versions that they took; null where one of
    these doesn't say what it costs the house."""

    points: int | None = None
    money: str | None = None
    uses: int | None = None
    uses_of_treated: int | None = None


class NetView(BaseModel):
    """What all treated spent more, less what it cost: spend, not margin. ``low`` and ``high`` for rewards, whose cost
    is counted: the interval is that of the spend. What a rule cost is estimated from the same comparison: null."""

    total: str
    low: str | None = None
    high: str | None = None


class FiguresView(EffectView):
    """What it comes to so far. ``on_both_sides``: persons who have an id on either since a merge, and count on none.
    ``holdout_kept``: it was kept from the same customers from the beginning on. ``net``: what was spent more, less what
    it cost; ``gain_by_cost``: for each one that it cost. Figures that there aren't, are null; ``lacking`` says why."""

    model_config = ConfigDict(json_schema_extra={"example": examples.FIGURES})

    measured_to: datetime
    holdout_kept: bool
    currency: str
    treated: GroupView
    held_out: GroupView
    on_both_sides: int
    incremental: IncrementView | None = None
    lacking: LackingView | None = None
    cost: CostView
    net: NetView | None = None
    gain_by_cost: str | None = None


def router(db: Database, effects: Effects) -> Router:
    """``/effects``."""
    routes = Router(prefix="/effects", tags=["effects"])

    @routes.post("", status_code=201, response_model=EffectView, responses=answers(examples.EFFECT, 201))
    async def define(
        body: EffectBody, who: Writer, response: Response, attempt: Annotated[Attempt, idempotency_key()]
    ) -> EffectView:
        """Measures what a rule or reward brings that has a `holdout`: some customers, always the same, it is kept from.

        409 `no-holdout`, `holdout-differs`, `holdout-changes`, or `begun-before` where the period began without it.
        """
        kind, target = body.what.target
        async with db.transaction() as tx:
            if (replay := await attempt.claim(tx)) is not None:
                replay.mark(response)
                return _view(await effects.one(tx, replay.resource_id))
            try:
                effect = await effects.define(
                    tx, body.name, kind, target, body.since, body.until, body.holdout_percent, who.subject
                )
            except LookupError as error:
                raise invalid(f"/what/{kind}_id", str(error)) from None
            await attempt.remember(tx, status=201, resource_id=effect.effect_id)
        return _view(effect)

    @routes.get("", response_model=Page[EffectView], responses=page(examples.EFFECT))
    async def listed(who: Reader, paging: PageRequest) -> Page[EffectView]:
        """What is measured, the newest first."""
        after = paging.after(tuple[str])
        async with db.transaction() as tx:
            found = await effects.page(tx, after[0] if after else None, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda one: (one.effect_id,))
        return Page(items=[_view(one) for one in found[: paging.limit]], next_cursor=cursor)

    @routes.get("/{id}", response_model=FiguresView, responses=answers(examples.FIGURES))
    async def figures(id: EffectId, who: Reader) -> FiguresView:
        """What it has brought by now, by all that is known."""
        async with db.transaction() as tx:
            try:
                return _figures(await effects.figures(tx, id))
            except LookupError:
                raise not_found() from None

    return routes


def refused(error: EffectRefusedError) -> ProblemError:
    """Why nothing can be measured so: 409."""
    return conflict(error.code, error.detail)


def _view(effect: Effect) -> EffectView:
    return EffectView.model_validate(_fields(effect))


def _fields(effect: Effect) -> dict[str, object]:
    return {
        "id": effect.effect_id,
        "name": effect.name,
        "what": {f"{effect.kind}_id": effect.target},
        "since": effect.since,
        "until": effect.until,
        "holdout_percent": effect.holdout_percent,
        "metric": "spend",
        "created_at": effect.created_at,
    }


def _figures(figures: Figures) -> FiguresView:
    found, currency = figures.increment, figures.currency
    return FiguresView.model_validate({
        **_fields(figures.effect),
        "measured_to": figures.until,
        "holdout_kept": figures.kept,
        "currency": currency,
        "treated": _group(figures.groups["treated"], currency),
        "held_out": _group(figures.groups["held-out"], currency),
        "on_both_sides": figures.groups["mixed"].persons,
        "incremental": _increment(found, figures.gained or 0, currency) if isinstance(found, Increment) else None,
        "lacking": None if isinstance(found, Increment) else _lacking(found),
        "cost": CostView(
            points=None if figures.points is None else round(figures.points),
            money=None if figures.cost is None else _money(figures.cost, currency),
            uses=figures.uses,
            uses_of_treated=figures.uses_of_treated,
        ),
        "net": _net(figures),
        "gain_by_cost": None if figures.gain_by_cost is None else f"{figures.gain_by_cost:.4f}",
    })


def _group(group: Group, currency: str) -> GroupView:
    return GroupView(
        persons=group.persons,
        spend=_money(group.spend, currency),
        spend_per_person=_money(group.mean, currency) if group.persons else None,
        points_per_person=f"{group.points / group.persons:.2f}" if group.persons else None,
    )


def _increment(found: Increment, gained: float, currency: str) -> IncrementView:
    return IncrementView(
        per_person=_money(found.mean, currency),
        low=_money(found.low, currency),
        high=_money(found.high, currency),
        total=_money(gained, currency),
        confidence=f"{CONFIDENCE}",
        degrees=f"{found.degrees:.1f}",
        method="Welch 1947",
    )


def _net(figures: Figures) -> NetView | None:
    if figures.net is None:
        return None
    low, high = figures.net_interval or (None, None)
    return NetView(
        total=_money(figures.net, figures.currency),
        low=None if low is None else _money(low, figures.currency),
        high=None if high is None else _money(high, figures.currency),
    )


def _lacking(lacking: Lacking) -> LackingView:
    return LackingView(treated=lacking.treated, held_out=lacking.held_out, least=lacking.least)


def _money(minor: float, currency: str) -> str:
    places = MINOR_UNITS[currency]
    return f"{minor / 10**places:.{places}f}"
