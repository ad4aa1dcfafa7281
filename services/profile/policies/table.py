"""The policies that change over HTTP: what each is, and what other numbers set off."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel

from services.profile.duplicates.rules import look_again
from services.profile.patterns.changes import DemandPolicy, RhythmPolicy
from services.profile.policies import domain, numbers
from services.profile.recommendations.domain import Policy as RecommendationsPolicy
from services.profile.segments.catalogue import Preview
from services.profile.segments.policing import Policing
from shared.db import Tx


async def nothing(_: Tx, __: msgspec.Struct) -> None:
    """Whoever reads the policy next goes by it."""


@dataclass(frozen=True, slots=True)
class Described:
    """A policy: ``numbers`` are those of a request, ``kind`` those of the domain.

    ``reads`` and ``puts`` say in the document what its routes do. ``sets_off`` runs in the transaction that puts other
    numbers in force; ``preview`` tells who would stand elsewhere by them. ``version``: of the example.
    """

    name: str
    numbers: type[BaseModel]
    kind: type[msgspec.Struct]
    example: dict[str, Any]
    reads: str
    puts: str
    sets_off: Callable[[Tx, msgspec.Struct], Awaitable[None]] = nothing
    preview: Callable[[msgspec.Struct], Awaitable[Preview]] | None = None
    version: int = 1


def table(policing: Policing) -> tuple[Described, ...]:
    """All of them but ``erasure``, which has deadlines to tell, and ``rfm``, which is recalibrated."""
    placed = "A new version, in force at once; everybody is placed again within minutes."
    return (
        Described(
            "lifecycle", numbers.LifecycleNumbers, domain.LifecyclePolicy, numbers.LIFECYCLE,
            "The numbers of the stages, and those before them.", placed,
            lambda tx, _: policing.place_again(tx, "lifecycle"),
            lambda other: policing.preview("lifecycle", other), version=2,
        ),
        Described(
            "value", numbers.ValueNumbers, domain.ValuePolicy, numbers.VALUE,
            "The numbers of the classes of value, and those before them.", placed,
            lambda tx, _: policing.place_again(tx, "value"),
            lambda other: policing.preview("value", other), version=2,
        ),
        Described(
            "class", numbers.ClassNumbers, domain.ClassPolicy, numbers.CLASS,
            "What makes a VIP, and what made one before.", placed,
            lambda tx, _: policing.place_again(tx, "class"),
            lambda other: policing.preview("class", other), version=2,
        ),
        Described(
            "merging", numbers.MergingNumbers, domain.MergingPolicy, numbers.MERGING,
            "The kinds of key that join two files, and those before them.",
            "A new version, in force at once. It joins who was found before, too, and parts nobody.", look_again,
        ),
        Described(
            "similarity", numbers.SimilarityNumbers, domain.SimilarityPolicy, numbers.SIMILARITY,
            "The numbers by which two files are suggested as one person's, and those before them.",
            "A new version, in force at once; everybody is compared again within minutes.", look_again,
        ),
        Described(
            "consent", numbers.ConsentNumbers, domain.ConsentPolicy, numbers.CONSENT,
            "The purposes that need no consent, and those before them.",
            "A new version, in force from the next hand-off on. What a customer said himself stands against it.",
        ),
        Described(
            "recommendations", numbers.RecommendationsNumbers, RecommendationsPolicy, numbers.RECOMMENDATIONS,
            "The numbers by which products are recommended, and those before them.",
            "A new version, in force at once: what to offer is worked out whenever it is asked for.",
        ),
        Described(
            "rhythm", numbers.RhythmNumbers, RhythmPolicy, numbers.RHYTHM,
            "When a silence breaks a customer's own rhythm, and when it did before.",
            "A new version, in force from the next nightly run on. Who is silent for too long already isn't told of.",
        ),
        Described(
            "demand", numbers.DemandNumbers, DemandPolicy, numbers.DEMAND,
            "When the demand for a category has changed, and when it had before.",
            "A new version, in force from the next weekly run on.",
        ),
    )  # fmt: skip
