"""Every topic, declared once: its type, its key, who publishes it, how long it is kept."""

from dataclasses import dataclass
from typing import Literal

from shared.contracts import (
    behaviour,
    complaints,
    contacts,
    customers,
    demand,
    erasures,
    merges,
    points,
    promises,
    purchases,
    rewards,
    risk,
    segments,
    surveys,
)
from shared.contracts.types import Struct

Service = Literal["profile", "engagement", "loyalty", "churn"]
SERVICES: tuple[Service, ...] = ("profile", "engagement", "loyalty", "churn")

DAYS = 30


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic is a fact in the past tense. ``key`` names the field of ``data`` that is the Kafka key.

    ``publishers`` are those of our services that publish it; none where other systems do, beside whom ``also`` does.
    Retention in days.
    """

    name: str
    data: type[Struct]
    publishers: tuple[Service, ...] = ()
    key: str = "customer_id"
    version: int = 1
    compacted: bool = False
    retention_days: int = DAYS
    also: tuple[Service, ...] = ()

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return f"{self.name}.v{self.version}"


_DECLARED = (
    Topic("purchase-recorded", purchases.PurchaseRecorded),
    Topic("purchase-returned", purchases.PurchaseReturned),
    Topic("purchase-cancelled", purchases.PurchaseCancelled),
    Topic("purchase-delivered", purchases.PurchaseDelivered),
    Topic("activity-recorded", behaviour.ActivityRecorded),
    Topic("feedback-received", behaviour.FeedbackReceived),
    Topic("product-changed", behaviour.ProductChanged, key="sku", compacted=True, also=("profile",)),
    Topic("customer-registered", customers.CustomerRegistered, ("profile",)),
    Topic("customer-changed", customers.CustomerChanged, ("profile",)),
    Topic("consent-changed", customers.ConsentChanged, ("profile",)),
    Topic("customer-merged", merges.CustomerMerged, ("profile",)),
    Topic("customer-unmerged", merges.CustomerUnmerged, ("profile",)),
    Topic("merge-applied", merges.MergeApplied, SERVICES),
    Topic("customer-erased", erasures.CustomerErased, ("profile",)),
    Topic("erasure-completed", erasures.ErasureCompleted, SERVICES),
    Topic("segment-changed", segments.SegmentChanged, ("profile",)),
    Topic("customer-lost", segments.CustomerLost, ("profile",)),
    Topic("customer-returned", segments.CustomerReturned, ("profile",)),
    Topic("purchase-rhythm-dropped", demand.PurchaseRhythmDropped, ("profile",)),
    Topic("category-demand-changed", demand.CategoryDemandChanged, ("profile",), key="category"),
    Topic("points-earned", points.PointsEarned, ("loyalty",)),
    Topic("points-reversed", points.PointsReversed, ("loyalty",)),
    Topic("points-granted", points.PointsGranted, ("loyalty",)),
    Topic("points-spent", points.PointsSpent, ("loyalty",)),
    Topic("points-expired", points.PointsExpired, ("loyalty",)),
    Topic("points-expiring", points.PointsExpiring, ("loyalty",)),
    Topic("tier-changed", points.TierChanged, ("loyalty",)),
    Topic("coupon-issued", rewards.CouponIssued, ("loyalty",)),
    Topic("coupon-redeemed", rewards.CouponRedeemed, ("loyalty",)),
    Topic("reward-redeemed", rewards.RewardRedeemed, ("loyalty",)),
    Topic("reward-overdue", rewards.RewardOverdue, ("loyalty",)),
    Topic("referral-qualified", rewards.ReferralQualified, ("loyalty",)),
    Topic("churn-scored", risk.ChurnScored, ("churn",), compacted=True),
    Topic("customer-at-risk", risk.CustomerAtRisk, ("churn",)),
    Topic("risk-lowered", risk.RiskLowered, ("churn",)),
    Topic("contact-planned", contacts.ContactPlanned, ("engagement",)),
    Topic("contact-suppressed", contacts.ContactSuppressed, ("engagement",)),
    Topic("contact-sent", contacts.ContactSent, ("engagement",)),
    Topic("contact-failed", contacts.ContactFailed, ("engagement",)),
    Topic("contact-delivered", contacts.ContactDelivered, ("engagement",)),
    Topic("contact-answered", contacts.ContactAnswered, ("engagement",)),
    Topic("complaint-opened", complaints.ComplaintOpened, ("engagement",)),
    Topic("complaint-resolved", complaints.ComplaintResolved, ("engagement",)),
    Topic("complaint-reopened", complaints.ComplaintReopened, ("engagement",)),
    Topic("complaint-closed", complaints.ComplaintClosed, ("engagement",)),
    Topic("survey-answered", surveys.SurveyAnswered, ("engagement",)),
    Topic("promise-made", promises.PromiseMade, ("engagement",)),
    Topic("promise-kept", promises.PromiseKept, ("engagement",)),
    Topic("promise-broken", promises.PromiseBroken, ("engagement",)),
)

TOPICS: dict[str, Topic] = {topic.name: topic for topic in _DECLARED}
BY_TYPE: dict[str, Topic] = {topic.type: topic for topic in _DECLARED}
BY_DATA: dict[type[Struct], Topic] = {topic.data: topic for topic in _DECLARED}
INCOMING: tuple[str, ...] = tuple(topic.name for topic in _DECLARED if not topic.publishers)


def dead_letter_topic(topic: str, service: str) -> str:
    """Where a service puts the events of a topic that it cannot apply."""
    return f"{topic}.{service}.dead-letter"
