"""What Prometheus sees of a service's events. Read from the parts when asked: nothing is counted twice."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.messaging.intake import Intake
from shared.messaging.relay import Relay

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
OUTCOMES = ("applied", "duplicate", "parked", "dead", "refused")


class MessagingMetrics(Collector):
    """Events by outcome, seconds a batch, rows published, and how many wait for how long (zero in a standby)."""

    def __init__(self, service: str, intake: Intake, relay: Relay, registry: CollectorRegistry) -> None:
        self.service = service
        self.intake = intake
        self.relay = relay
        name, text = "roost_consumer_batch_seconds", "Time to apply a batch of records"
        seconds = Histogram(name, text, ("service",), buckets=BUCKETS, registry=registry)
        intake.observe = seconds.labels(service).observe
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The metrics as they stand."""
        events = CounterMetricFamily("roost_events", "Events taken in", labels=("service", "outcome"))
        for outcome in OUTCOMES:
            events.add_metric((self.service, outcome), self.intake.counts[outcome])
        published = CounterMetricFamily("roost_outbox_published", "Rows published", labels=("service",))
        published.add_metric((self.service,), self.relay.published)
        waiting = GaugeMetricFamily("roost_outbox_waiting", "Rows not published yet", labels=("service",))
        waiting.add_metric((self.service,), self.relay.waiting)
        age = GaugeMetricFamily("roost_outbox_age_seconds", "How long the oldest row waits", labels=("service",))
        age.add_metric((self.service,), self.relay.age().total_seconds())
        return (events, published, waiting, age)
