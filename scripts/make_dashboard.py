"""Writes the Grafana dashboard of the figures that docs/metrics.md lists: `make dashboard`; a test keeps it fresh.

What is shown stands in `ROWS`, a row of panels after the other; how Grafana wants it, the last functions know.

Source: Grafana's own builders, grafana-foundation-sdk, for the schema of Grafana 11.6; newer ones read it too.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as models

DASHBOARD = Path(__file__).parents[1] / "deploy" / "grafana" / "modelport.json"
UID = "modelport"
WHOLE_WIDTH = 24


class Kind(Enum):
    """How a panel shows what it asks for."""

    NUMBER = auto()
    """The last value, large."""
    CURVE = auto()
    """Lines over time."""
    BARS = auto()
    """Amounts over time, one above the other."""


@dataclass(frozen=True, slots=True)
class Limit:
    """From *value* on, a number is *colour*."""

    value: float
    colour: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A panel: *asks* are pairs of an expression and how each of its series is called; *says* is what a person makes of it.

    A number is green below the first of its *limits*; below 1 it is red where *is_up* says that it tells what is there.
    """

    title: str
    says: str
    kind: Kind
    unit: str
    asks: tuple[tuple[str, str], ...]
    width: int = 12
    limits: tuple[Limit, ...] = ()
    is_up: bool = False


def _of(name: str, **labels: str) -> str:
    """Return the series *name* of the server that is looked at."""
    told = ['job="$job"', *(f'{key}="{value}"' for key, value in labels.items())]
    return f"{name}{{{', '.join(told)}}}"


def _each_minute(name: str, by: str = "", **labels: str) -> str:
    """Return what a counter rises by in a minute."""
    return f"60 * sum{f' by ({by})' if by else ''} (rate({_of(name, **labels)}[$__rate_interval]))"


def _quantile(part: float, name: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({part}, sum by ({labels}) (rate({_of(f'{name}_bucket')}[$__rate_interval])))"


LATE = (Limit(300, "orange"), Limit(1800, "red"))
WRONG = (Limit(1, "red"),)

HEALTH = (
    Shown(
        "Alerts that fire",
        "Each has its place in docs/howto/alerts.md.",
        Kind.NUMBER,
        "short",
        (('count(ALERTS{alertname=~"Modelport.*", alertstate="firing"}) or vector(0)', "alerts"),),
        4,
        WRONG,
    ),
    Shown(
        "Server",
        "Whether Prometheus gets an answer: 1 or 0.",
        Kind.NUMBER,
        "short",
        ((_of("up"), "{{instance}}"),),
        4,
        is_up=True,
    ),
    Shown(
        "Oldest waiting",
        "How long the first ingestion that may be claimed waits for a worker.",
        Kind.NUMBER,
        "s",
        ((f"max({_of('modelport_oldest_waiting_seconds')})", "oldest"),),
        4,
        LATE,
    ),
    Shown(
        "May begin now",
        "Ingestions that a worker may claim now.",
        Kind.NUMBER,
        "short",
        ((f"max({_of('modelport_queue_due')})", "due"),),
        4,
    ),
    Shown(
        "Unaccounted",
        "Lost or doubled ingestions; anything but 0 is an error of ours.",
        Kind.NUMBER,
        "short",
        ((f"max(abs({_of('modelport_unaccounted_ingestions')}))", "unaccounted"),),
        4,
        WRONG,
    ),
    Shown(
        "Workers",
        "Workers that gave a sign of life lately.",
        Kind.NUMBER,
        "short",
        ((f"max({_of('modelport_workers')})", "workers"),),
        4,
        is_up=True,
    ),
    Shown(
        "Paused",
        "1 while a person has paused the queue of all teams; and how many teams are paused by themselves.",
        Kind.NUMBER,
        "short",
        (
            (f"max({_of('modelport_queue_paused')})", "all teams"),
            (f"max({_of('modelport_queue_paused_teams')})", "teams"),
        ),
        6,
        (Limit(1, "orange"),),
    ),
    Shown(
        "Unreadable messages",
        "Messages in the broker that no worker could read; docs/howto/alerts.md says what to do about them.",
        Kind.NUMBER,
        "short",
        ((f"max({_of('modelport_undecodable_messages')})", "messages"),),
        4,
        (Limit(1, "orange"),),
    ),
    Shown(
        "Connections",
        "What the service leans on: 1 where it can be used from the server.",
        Kind.NUMBER,
        "short",
        ((f"min by (to) ({_of('modelport_connection_up')})", "{{to}}"),),
        14,
        is_up=True,
    ),
    Shown(
        "Oldest waiting",
        "It rises in a straight line where nothing is claimed.",
        Kind.CURVE,
        "s",
        ((f"max({_of('modelport_oldest_waiting_seconds')})", "oldest"),),
        8,
    ),
    Shown(
        "In flight",
        "Ingestions that have not ended, by state.",
        Kind.BARS,
        "short",
        ((f"max by (state) ({_of('modelport_queue_depth')})", "{{state}}"),),
        8,
    ),
    Shown(
        "Pausing, by why",
        "Ingestions that wait before the next attempt: for files to come to rest, or for storage that is away.",
        Kind.BARS,
        "short",
        ((f"max by (reason) ({_of('modelport_queue_pausing')})", "{{reason}}"),),
        8,
    ),
)

THROUGHPUT = (
    Shown(
        "Accepted and ended a minute",
        "Where the first is above the second for long, the queue grows.",
        Kind.CURVE,
        "short",
        (
            (_each_minute("modelport_accepted_total"), "accepted"),
            (_each_minute("modelport_ingestions_total"), "ended"),
        ),
    ),
    Shown(
        "Ended a minute, by outcome",
        "How ingestions ended.",
        Kind.BARS,
        "short",
        ((_each_minute("modelport_ingestions_total", "outcome"), "{{outcome}}"),),
    ),
    Shown(
        "Registered a minute, by format",
        "What the primary model of a version is.",
        Kind.BARS,
        "short",
        ((_each_minute("modelport_ingestions_total", "format", outcome="registered"), "{{format}}"),),
    ),
    Shown(
        "Accepted a minute, by trigger",
        "Where they came from.",
        Kind.BARS,
        "short",
        ((_each_minute("modelport_accepted_total", "trigger"), "{{trigger}}"),),
    ),
)

FAILURES = (
    Shown(
        "Failed a minute, by reason",
        "What the reasons mean stands on the page Operations.",
        Kind.BARS,
        "short",
        ((_each_minute("modelport_ingestions_total", "reason", outcome="failed"), "{{reason}}"),),
    ),
    Shown(
        "Part of what ended that failed, by reason",
        "Within a quarter of an hour; above a fifth is an alert.",
        Kind.CURVE,
        "percentunit",
        (("modelport:failed:ratio15m", "{{reason}}"),),
    ),
    Shown(
        "Failed in the time shown, by reason",
        "The most frequent ones.",
        Kind.NUMBER,
        "short",
        (
            (
                f"topk(8, sum by (reason) (increase({_of('modelport_ingestions_total', outcome='failed')}[$__range])))",
                "{{reason}}",
            ),
        ),
    ),
    Shown(
        "Attempts, and what people did, a minute",
        "Attempts that began; ingestions that were taken from a lost worker; what people had tried again or discarded.",
        Kind.CURVE,
        "short",
        (
            (_each_minute("modelport_attempts_total"), "attempts"),
            (_each_minute("modelport_freed_total"), "taken from a lost worker"),
            (_each_minute("modelport_retried_total"), "retried"),
            (_each_minute("modelport_discarded_total"), "discarded"),
        ),
    ),
)

TIMES = (
    Shown(
        "Wait for a worker",
        "From accepted or retried to the first claim.",
        Kind.CURVE,
        "s",
        tuple((_quantile(part, "modelport_wait_seconds"), f"p{100 * part:.0f}") for part in (0.5, 0.95, 0.99)),
    ),
    Shown(
        "Steps of an attempt, p95",
        "Which step takes the time.",
        Kind.CURVE,
        "s",
        ((_quantile(0.95, "modelport_step_seconds", "step"), "{{step}}"),),
    ),
    Shown(
        "Steps of an attempt, p50",
        "The same for the usual model.",
        Kind.CURVE,
        "s",
        ((_quantile(0.5, "modelport_step_seconds", "step"), "{{step}}"),),
    ),
    Shown(
        "Seconds of work in each second, by step",
        "How many workers are busy, and with what.",
        Kind.BARS,
        "short",
        ((f"sum by (step) (rate({_of('modelport_step_seconds_sum')}[$__rate_interval]))", "{{step}}"),),
    ),
)

WORKERS = (
    Shown(
        "Workers",
        "Workers that gave a sign of life lately.",
        Kind.CURVE,
        "short",
        ((f"max({_of('modelport_workers')})", "workers"),),
    ),
    Shown(
        "Age of the sign of life",
        "They give one every five seconds; one that is older than 15 counts as gone.",
        Kind.CURVE,
        "s",
        ((f"max by (worker) ({_of('modelport_worker_heartbeat_age_seconds')})", "{{worker}}"),),
    ),
)

STORAGE = (
    Shown(
        "Free on the volumes",
        "Below a tenth is an alert.",
        Kind.CURVE,
        "percentunit",
        ((_of("modelport:volume_free:ratio"), "{{of}}"),),
        8,
    ),
    Shown(
        "Free on the volumes, in bytes",
        "A store on object storage has no volume.",
        Kind.CURVE,
        "bytes",
        ((f"min by (of) ({_of('modelport_volume_free_bytes')})", "{{of}}"),),
        8,
    ),
    Shown(
        "Answers of what the service leans on",
        "How long they took; none where there was no answer.",
        Kind.CURVE,
        "s",
        ((f"max by (to) ({_of('modelport_connection_seconds')})", "{{to}}"),),
        8,
    ),
    Shown(
        "Bytes read a second",
        "Of files that were read whole to be registered, by how the ingestion ended.",
        Kind.CURVE,
        "Bps",
        ((f"sum by (outcome) (rate({_of('modelport_bytes_read_total')}[$__rate_interval]))", "{{outcome}}"),),
        WHOLE_WIDTH,
    ),
)

ROWS: tuple[tuple[str, tuple[Shown, ...]], ...] = (
    ("Is it healthy?", HEALTH),
    ("Throughput and outcomes", THROUGHPUT),
    ("Failures", FAILURES),
    ("How long it takes", TIMES),
    ("Workers", WORKERS),
    ("Volumes, connections, bytes", STORAGE),
)


def made() -> str:
    """Return the dashboard as Grafana reads it, as JSON."""
    board = (
        dashboard.Dashboard("modelport")
        .uid(UID)
        .tags(["modelport"])
        .description("How the work of all teams stands. Made by scripts/make_dashboard.py; docs/howto/dashboard.md.")
        .refresh("10s")
        .time("now-1h", "now")
        .timezone(words.TimeZoneBrowser)
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("job")
            .label("Job")
            .datasource(_source())
            .query("label_values(modelport_queue_due, job)")
            .refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
            .current(models.VariableOption(text="modelport", value="modelport", selected=True))
        )
    )
    ids = count(1)
    for title, panels in ROWS:
        board = board.with_row(dashboard.Row(title).id(next(ids)))
        for panel in panels:
            board = board.with_panel(_panel(panel).id(next(ids)))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _source() -> models.DataSourceRef:
    return models.DataSourceRef(type_val="prometheus", uid="${datasource}")


def _panel(shown: Shown) -> Any:
    panel: Any = _number(shown) if shown.kind is Kind.NUMBER else _curve(shown)
    panel = panel.title(shown.title).description(shown.says).unit(shown.unit).datasource(_source()).span(shown.width)
    for place, (expression, legend) in enumerate(shown.asks):
        ask = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + place)).datasource(_source())
        panel = panel.with_target(ask.instant() if shown.kind is Kind.NUMBER else ask.range())
    return panel


def _number(shown: Shown) -> Any:
    reduced = common.ReduceDataOptions().calcs(["lastNotNull"])
    panel = stat.Panel().height(4).reduce_options(reduced).graph_mode(words.BigValueGraphMode.NONE)
    steps = [models.Threshold(value=None, color="red" if shown.is_up else "green")]
    steps += [models.Threshold(value=limit.value, color=limit.colour) for limit in shown.limits]
    steps += [models.Threshold(value=1, color="green")] if shown.is_up else []
    return panel.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))


def _curve(shown: Shown) -> Any:
    panel = timeseries.Panel().height(8).min(0).legend(common.VizLegendOptions().show_legend(True))
    if shown.kind is Kind.CURVE:
        return panel.draw_style(words.GraphDrawStyle.LINE).fill_opacity(5)
    stacked = common.StackingConfig().mode(words.StackingMode.NORMAL)
    return panel.draw_style(words.GraphDrawStyle.LINE).fill_opacity(60).stacking(stacked)


def main() -> int:
    """Write the dashboard."""
    DASHBOARD.write_text(made(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
