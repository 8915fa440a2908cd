"""What the registry says about the work of everybody, in the text format that Prometheus reads.

Everything about the work is derived from one `Pulse`, so all its figures are of one moment, survive restarts, and need no files
that processes share. Labels are words of closed sets: how many series there are does not depend on what senders say.

Laws (each has a test of the same name):
    what was accepted or retried has ended or is in flight;
    no odd name makes a series.

Source: Prometheus, "Metric and label naming" and "Exposition formats"; prometheus-client, "Custom Collectors".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from worker.connections import Connection
from worker.lifecycle import is_end
from worker.records import STEPS, Counted, IngestionState, Labels, Pulse
from worker.registry.counters import BOUNDS_SECONDS, NO_BOUND, OTHER, REASONS

COUNTERS: tuple[tuple[Counted, str, str, tuple[str, ...]], ...] = (
    (
        Counted.ENDED,
        "modelport_ingestions",
        "Ingestions that ended, each time that they did.",
        ("outcome", "reason", "trigger", "format"),
    ),
    (Counted.ACCEPTED, "modelport_accepted", "Events that became an ingestion.", ("trigger",)),
    (Counted.RETRIED, "modelport_retried", "Failed ingestions that a person had tried again.", ("trigger",)),
    (Counted.CLAIMED, "modelport_attempts", "Attempts that began.", ("trigger",)),
    (Counted.FREED, "modelport_freed", "Ingestions that were taken from a worker who was lost.", ("trigger",)),
    (Counted.PUT_AWAY, "modelport_discarded", "Failed ingestions that a person discarded.", ("trigger",)),
    (Counted.BYTES, "modelport_bytes_read", "Bytes of files that were read whole to be registered.", ("outcome",)),
)
"""What is counted, the name of its counter without `_total`, its help, and its labels."""


def exposition(
    pulse: Pulse, now: datetime, accepted: str = "", connections: Sequence[Connection] = (), undecodable: int | None = 0
) -> tuple[bytes, str]:
    """Return *pulse*, taken at *now*, and how the *connections* are, as it is scraped, and the type of what is returned:
    OpenMetrics where the header `Accept` prefers it, otherwise the text format. *undecodable* is as for `families`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(pulse, now, connections, undecodable))
    encode, media_type = choose_encoder(accepted)
    return encode(registry), media_type


def families(
    pulse: Pulse, now: datetime, connections: Sequence[Connection] = (), undecodable: int | None = 0
) -> Iterator[Metric]:
    """Yield the metrics that *pulse*, taken at *now*, and the *connections* are told in. *undecodable* is how many messages no
    worker could read, None where the broker does not tell: then it is left out.
    """
    for counted, name, help, labels in COUNTERS:
        family = CounterMetricFamily(name, help, labels=labels)
        for one in pulse.counts:
            if one.name is counted:
                words = dict(one.labels)
                family.add_metric([words[label] for label in labels], one.value)
        yield family
    depth = GaugeMetricFamily("modelport_queue_depth", "Ingestions that have not ended.", labels=["state"])
    for state in IngestionState:
        if not is_end(state):
            depth.add_metric([state.value], pulse.in_flight.get(state, 0))
    yield depth
    pausing = GaugeMetricFamily(
        "modelport_queue_pausing", "Ingestions that pause before the next attempt, by why.", labels=["reason"]
    )
    for reason, amount in sorted(_known(pulse).items()):
        pausing.add_metric([reason], amount)
    yield pausing
    yield GaugeMetricFamily(
        "modelport_queue_paused", "Whether a person has paused the queue of all teams: 1, or 0.", value=pulse.is_paused
    )
    yield GaugeMetricFamily(
        "modelport_queue_paused_teams", "Teams whose queue a person has paused by itself.", value=pulse.paused_teams
    )
    yield GaugeMetricFamily(
        "modelport_queue_due",
        "Ingestions that a worker may claim now, or could if the queue of all teams were not paused.",
        value=pulse.due,
    )
    yield GaugeMetricFamily(
        "modelport_oldest_waiting_seconds",
        "How long the first of these has been waiting for a worker; 0 where there is none.",
        value=0 if pulse.due_since is None else _seconds(pulse.due_since, now),
    )
    yield GaugeMetricFamily(
        "modelport_unaccounted_ingestions",
        "Accepted and retried less ended less in flight; anything but 0 is a lost or doubled ingestion.",
        value=unaccounted(pulse),
    )
    if undecodable is not None:
        yield GaugeMetricFamily(
            "modelport_undecodable_messages",
            "Messages that no worker could read and that are kept; missing where the broker does not answer.",
            value=undecodable,
        )
    yield _waits(pulse)
    yield _steps(pulse)
    yield from _workers(pulse, now)
    yield from _connections(connections)


def unaccounted(pulse: Pulse) -> int:
    """Return how many ingestions were accepted or retried and have neither ended nor are in flight; 0, where all is well."""
    amounts: Counter[Counted] = Counter()
    for one in pulse.counts:
        amounts[one.name] += one.value
    begun = amounts[Counted.ACCEPTED] + amounts[Counted.RETRIED]
    return begun - amounts[Counted.ENDED] - sum(pulse.in_flight.values())


def _known(pulse: Pulse) -> Counter[str]:
    """Return how many pause by why, in words of a closed set."""
    known: Counter[str] = Counter()
    for reason, amount in pulse.pausing.items():
        known[reason if reason in REASONS else OTHER] += amount
    return known


def _waits(pulse: Pulse) -> Metric:
    buckets, sum_seconds = _histogram(pulse, Counted.WAITED, Counted.WAITED_MICROSECONDS, ())
    told = "From accepted or retried to the first claim."
    return HistogramMetricFamily("modelport_wait_seconds", told, buckets=buckets, sum_value=sum_seconds)


def _steps(pulse: Pulse) -> Metric:
    told = "How long a step of an attempt took; counted beside the work, so that a killed worker's last seconds are missing."
    family = HistogramMetricFamily("modelport_step_seconds", told, labels=["step"])
    for step in STEPS:
        family.add_metric([step], *_histogram(pulse, Counted.STEPPED, Counted.STEPPED_MICROSECONDS, (("step", step),)))
    return family


def _histogram(pulse: Pulse, bucket: Counted, total: Counted, labels: Labels) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulated buckets of the times with *labels*, by their bounds, and the sum of the times in seconds."""
    told = set(labels)
    found = {dict(one.labels)["le"]: one.value for one in pulse.counts if one.name is bucket and told <= set(one.labels)}
    microseconds = sum(one.value for one in pulse.counts if one.name is total and told <= set(one.labels))
    buckets, amount = [], 0
    for bound in (*(f"{bound:g}" for bound in BOUNDS_SECONDS), NO_BOUND):
        amount += found.get(bound, 0)
        buckets.append((bound if bound == NO_BOUND else str(float(bound)), float(amount)))
    return buckets, microseconds / 1_000_000


def _workers(pulse: Pulse, now: datetime) -> Iterator[Metric]:
    """Yield how many workers there are, and how old the signs of life of the first and of the last of them are."""
    ages = sorted(_seconds(worker.seen, now) for worker in pulse.workers)
    yield GaugeMetricFamily("modelport_workers", "Workers that gave a sign of life lately.", value=len(ages))
    told = "Age of the sign of life of the worker that was seen last, and of the one that was not seen for longest."
    family = GaugeMetricFamily("modelport_worker_heartbeat_age_seconds", told, labels=["worker"])
    for word, age in zip(("newest", "oldest"), (ages[0], ages[-1]) if ages else (), strict=False):
        family.add_metric([word], age)
    yield family


def _connections(connections: Sequence[Connection]) -> Iterator[Metric]:
    """Yield whether each can be used, how long its answer took, and the room on the volumes that answered."""
    told = "Whether what the service leans on can be used from the server: 1 or 0; none for a broker where none is set."
    up = GaugeMetricFamily("modelport_connection_up", told, labels=["to"])
    told = "How long its last answer took; none where it gave none."
    seconds = GaugeMetricFamily("modelport_connection_seconds", told, labels=["to"])
    told = "Size of the volume that a store in a folder, or the home, lies on."
    size = GaugeMetricFamily("modelport_volume_size_bytes", told, labels=["of"])
    free = GaugeMetricFamily("modelport_volume_free_bytes", "What may still be written there.", labels=["of"])
    for one in connections:
        up.add_metric([one.what], float(one.is_up))
        if one.seconds is not None:
            seconds.add_metric([one.what], one.seconds)
        if one.room is not None:
            size.add_metric([one.what], one.room.size_bytes)
            free.add_metric([one.what], one.room.free_bytes)
    yield from (up, seconds, size, free)


def _seconds(since: datetime, now: datetime) -> float:
    """Return the seconds since a moment; none where another's clock is ahead."""
    return max((now - since).total_seconds(), 0.0)


class _Told(Collector):
    def __init__(self, pulse: Pulse, now: datetime, connections: Sequence[Connection], undecodable: int | None) -> None:
        self._pulse, self._now, self._connections, self._undecodable = pulse, now, connections, undecodable

    def collect(self) -> Iterator[Metric]:
        return families(self._pulse, self._now, self._connections, self._undecodable)
