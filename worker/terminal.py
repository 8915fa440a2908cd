"""How reports and versions look to a person at a terminal.

In go the plain values that the JSON output holds too, out come Rich renderables; nothing is read or decided here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from detectors.facts import SERIOUS, Severity
from detectors.printable import printable
from worker.figures import exact, short, size
from worker.layout import ITEMS, NOTHING, WORDS, Line, print_rows, table
from worker.repeats import told_once
from worker.wholeness import Wholeness, wholeness

FORMAT_WORDS = {
    "tensorflow_savedmodel": "TensorFlow SavedModel",
    "tensorflow_checkpoint": "TensorFlow checkpoint",
    "tensorflow_graphdef": "TensorFlow frozen graph",
    "onnx": "ONNX",
    "custom": "Custom model",
    "keras": "Keras model",
    "tflite": "TensorFlow Lite",
    "gguf": "GGUF",
    "pytorch": "PyTorch",
    "huggingface": "Hugging Face folder",
    "mlflow": "MLflow model",
    "coreml": "Core ML",
    "openvino": "OpenVINO",
    "ort": "ONNX Runtime model",
    "safetensors": "safetensors",
    "pickle": "pickle",
    "git_lfs_pointer": "Git LFS pointer",
}
STYLE_WORDS = {"graph": "a graph, as in TensorFlow 1", "object_graph": "an object graph, as in TensorFlow 2"}
STATE_SIGNS = {
    "complete": ("✓ complete", "green"),
    "incomplete": ("▲ incomplete", "yellow"),
    "corrupt": ("⬣ corrupt", "red"),
}
NOT_CHECKED = ("◌ not checked", "yellow")
WHOLENESS_SIGNS = {
    Wholeness.COMPLETE: STATE_SIGNS["complete"],
    Wholeness.NOT_CHECKED: NOT_CHECKED,
    Wholeness.AS_FAR_AS_READ: ("◌ complete as far as it was read", "yellow"),
    Wholeness.INCOMPLETE: STATE_SIGNS["incomplete"],
    Wholeness.CORRUPT: STATE_SIGNS["corrupt"],
}
STATES_BY_BADNESS = tuple(WHOLENESS_SIGNS)
QUARANTINE_SIGN = ("⊘ in quarantine", "red")
VERDICT_SIGNS = {
    "clean": ("✓ clean", "green"),
    "findings": ("▲ findings", "yellow"),
    "inconclusive": ("◌ not fully read", "yellow"),
    "nothing": ("– nothing recognisable", "dim"),
}
STORE_WORDS = {"copy": "copied", "reference": "referenced"}
SEVERITY_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim", "info": "dim"}
MOST_LINES = 20
"""Lines of one kind in a report: findings, notes, files, models, metrics. What is left out is counted; JSON has it all."""

MOST_PROBLEMS = 5
"""Lines that say why one model is not whole."""

STEP = 2
"""Columns by which a line stands further in than what it belongs to."""

MOST_OPERATORS = 8
MOST_TENSORS = 12


def show_report(console: Console, report: Mapping[str, Any], is_earlier: bool = False) -> None:
    """Print a scan report: the verdict first, then the findings, the primary model, the others, and the metrics.

    *is_earlier* says that it was made at an earlier time, and nothing was read for it now.
    """
    console.print(Line(Text.assemble(_verdict(report), "  ", (printable(report["path"]), "bold"))))
    models = list(zip(report["models"], wholeness(report), strict=True))
    others = [(model, whole) for model, whole in models if not model["primary"]]
    parts = (
        _findings(report["findings"]),
        *(_model(model, whole) for model, whole in models if model["primary"]),
        _others(sorted(others, key=lambda one: STATES_BY_BADNESS.index(one[1]), reverse=True)),
        _metrics(report["metrics"]),
        _metadata(report["metadata"]),
        _coverage(report, is_earlier),
    )
    for part in parts:
        if part is not None:
            console.print()
            console.print(part)


def _verdict(report: Mapping[str, Any]) -> Text:
    """Return the verdict in words that the rest bears out: how many findings, how bad, how many models are not whole."""
    sign, style = VERDICT_SIGNS[report["verdict"]]
    told = [*_counted_findings(report["findings"]), *_counted_states(report["models"])]
    wholes = wholeness(report)
    primary = [whole for model, whole in zip(report["models"], wholes, strict=True) if model["primary"]]
    if report["verdict"] == "clean" and Wholeness.NOT_CHECKED in primary:
        sign, style = NOT_CHECKED
    if report["verdict"] != "findings":
        return Text(", ".join((sign, *told)), style)
    if Wholeness.CORRUPT in wholes or any(finding["severity"] in SERIOUS for finding in report["findings"]):
        sign, style = STATE_SIGNS["corrupt"]
    return Text(f"{sign[0]} {', '.join(told)}", style)


def _counted_findings(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if findings:
        worst = findings[0]["severity"]
        yield f"1 finding, {worst}" if len(findings) == 1 else f"{len(findings)} findings, {worst} at worst"


def _counted_states(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield how many models are corrupt and how many incomplete; of a lone model, that it is."""
    for state in ("corrupt", "incomplete"):
        count = sum(model["completeness"]["state"] == state for model in models)
        if count:
            yield state if len(models) == 1 else f"{count} {state}"


def show_version(console: Console, version: Mapping[str, Any], twin: str = "") -> None:
    """Print what the registry knows of one version, above its report; *twin* is how the one is called that it is equal to."""
    title = Text.assemble((f"{printable(version['name'])}@{version['number']}", "bold"), "  ", (version["id"], "cyan"))
    console.print(Line(title))
    console.print(_pairs(_version_pairs(version, twin)))


def show_files(console: Console, files: Sequence[Mapping[str, Any]]) -> None:
    """Print the files of a version with their sizes and the beginning of their digests."""
    shown = table("FILE", ">SIZE", "SHA-256")
    for file in files[:MOST_LINES]:
        shown.add_row(Line(Text(printable(file["path"]))), size(file["size"]), Text(file["sha256"][:12] + "…", "dim"))
    console.print(shown)
    for more in _more(files):
        console.print(more)


def _more(lines: Sequence[object], most: int = MOST_LINES, style: str = "dim") -> Iterator[Text]:
    """Yield the line that counts those of *lines* that are left out, where there are any."""
    if len(lines) > most:
        yield Text(f"and {len(lines) - most} more", style)


def show_outcome(console: Console, report: Mapping[str, Any], twin: str = "") -> None:
    """Print how the ingestion of *report* ended, in one line: where there is a version, with the verdict on it.

    *twin* as in `show_version`.
    """
    ingestion, version = report["ingestion"], report["version"]
    if version is None:
        style = "red" if ingestion["state"] == "failed" else "yellow"
        console.print(Text.assemble((ingestion["state"].replace("_", " "), style), f": {printable(ingestion['message'])}"))
        return
    answer = ingestion["answer"]
    word = Text("registered" if answer == "created" else "unchanged", "green")
    console.print(Text(" ").join((word, _version_line(version, _verdict(report)))))
    for line in _objections(version) if answer == "created" else ():
        console.print(line)
    if answer == "unchanged":
        console.print(Text(printable(ingestion["message"]), "dim"))
    if version.get("duplicateOf"):
        console.print(Text(f"equal to {_called(version['duplicateOf'], twin)} of another experiment", "dim"))


def show_gates(console: Console, gates: Sequence[Mapping[str, Any]]) -> None:
    """Print what became of each gate, those that failed first; nothing where there were none."""
    shown = sorted(gates, key=lambda gate: bool(gate["passed"]))
    for gate in shown[:MOST_LINES]:
        sign, style = ("✓", "green") if gate["passed"] else ("⬣", "red")
        line = Text.assemble((f"{sign} gate ", style), (printable(gate["name"]), "bold"), f" {printable(gate['aggregate'])}")
        console.print(Line(line.append(f" {gate['target']}: {printable(gate['says'])}")))
    for more in _more(shown):
        console.print(more)


def show_arrival(console: Console, difference: Mapping[str, Any] | None) -> None:
    """Print in a line what differed from the version before when a version came; nothing for the first of its name."""
    if difference is not None:
        console.print(Line(Text(printable(difference["says"]), "red" if difference["signature"] == "breaking" else "")))


def _objections(version: Mapping[str, Any]) -> Iterator[Line]:
    """Yield what the policy holds against *version*, and what a person can do about it."""
    if version.get("quarantined"):
        sign, style = QUARANTINE_SIGN
        yield Line(Text.assemble((sign, style), f": {printable(version['quarantine']['why'])}"))
        yield Line(Text(f"`modelport models release {version['id']} --reason TEXT` lets it go", "dim"))
    elif version.get("warning"):
        yield Line(Text.assemble(("▲ warning", "yellow"), f": {printable(version['warning'])}"))


def _version_line(version: Mapping[str, Any], verdict: Text) -> Text:
    name = Text(f"{printable(version['name'])}@{version['number']}", "bold")
    kept = Text(f"{size(version['sizeBytes'])} {STORE_WORDS[version['store']]}")
    return Text("  ").join((name, Text(version["id"], "cyan"), kept, verdict))


def _state(version: Mapping[str, Any]) -> Text:
    """Return how a version stands, what matters most first: whether it is served, whether its files are there, what was found,
    what became of its gates, whether its models are whole, and what was not read. The sign is of the first.
    """
    (first, style), *others = _marks(version)
    return Text(", ").join([Text(first, style), *(Text(words.partition(" ")[2], style) for words, style in others)])


def _marks(version: Mapping[str, Any]) -> list[tuple[str, str]]:
    found, condition = [*_bad_marks(version)], (version.get("drift") or {}).get("state")
    whole = version["completeness"] == "complete"
    if not whole:
        found.append(STATE_SIGNS[version["completeness"]])
    if version["verdict"] not in ("clean", "findings"):
        found.append(VERDICT_SIGNS[version["verdict"]])
    if condition in UNSURE_SIGNS:
        found.append(UNSURE_SIGNS[condition])
    if not found and version.get("wholeness") == Wholeness.NOT_CHECKED:
        return [NOT_CHECKED]
    return found or [VERDICT_SIGNS[version["verdict"]]]


def _bad_marks(version: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if version.get("quarantined"):
        yield QUARANTINE_SIGN
    condition = (version.get("drift") or {}).get("state")
    if condition in GONE_SIGNS:
        yield GONE_SIGNS[condition]
    counts = version.get("severities") or {}
    for severity in SERIOUS:
        if counts.get(severity):
            yield f"⬣ {counts[severity]} {severity}", SEVERITY_STYLES[severity]
    failed = sum(not gate["passed"] for gate in version.get("gates") or ())
    if failed:
        yield "⬣ gate failed" if failed == 1 else f"⬣ {failed} gates failed", "red"


GONE_SIGNS = {"missing": ("⬣ files gone", "red"), "changed": ("⬣ files changed", "red")}
UNSURE_SIGNS = {
    "touched": ("▲ files written since", "yellow"),
    "unreachable": ("? files not reached", "yellow"),
}
"""How files that are not as they were registered are shown, by how they were found."""


def _called(version_id: str, name: str) -> str:
    return f"{printable(name)} ({version_id})" if name else version_id


NONE_YET = "No models yet. `modelport ingest PATH` registers what a run left below PATH."


def show_versions(console: Console, versions: Sequence[Mapping[str, Any]], is_filtered: bool = False) -> None:
    """Print a table of versions, newest first, or what to do when there is none."""
    if not versions:
        console.print("No model matches. `modelport models list` without options shows all." if is_filtered else NONE_YET)
        return
    print_rows(console, [_row(version) for version in versions], head=("ID", "MODEL", "STATE", ">SIZE", "TYPE"))


def _project(version: Mapping[str, Any]) -> str:
    """Return how the project of *version* is called, its id where that is not told."""
    return str(version.get("project") or version["projectId"])


def _row(version: Mapping[str, Any]) -> dict[str, Text]:
    return {
        "ID": Text(version["id"], "cyan"),
        "MODEL": Text(f"{printable(version['name'])}@{version['number']}"),
        "STATE": _state(version),
        ">SIZE": Text(size(version["sizeBytes"])),
        "TYPE": Text(version["modelType"]),
        "REGISTERED": Text(minute(version["dtCreated"])),
        "PROJECT": Text(printable(_project(version))),
        "EXPERIMENT": Text(printable(version["experimentId"] or NOTHING)),
        "TAGS": Text(printable(", ".join(version["tags"])) or NOTHING),
    }


def show_ingestions(console: Console, ingestions: Sequence[Mapping[str, Any]]) -> None:
    """Show ingestions as a table, one a line."""
    if not ingestions:
        console.print("no ingestions")
        return
    print_rows(console, [_ingestion_row(one) for one in ingestions], head=("ID", "STATE", "REASON"))


def show_deliveries(console: Console, deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Show deliveries as a table, one a line."""
    if not deliveries:
        console.print("no deliveries")
        return
    print_rows(console, [_delivery_row(one) for one in deliveries], head=("ID", "STATE", "TO"))


def show_end(console: Console, ingestion: Mapping[str, Any], version: Mapping[str, Any] | None = None) -> None:
    """Show one ingestion in a line, in another why it stands as it does, and the *version* that it led to with its verdict."""
    show_ingestions(console, [ingestion])
    if ingestion["message"]:
        console.print(Line(Text(printable(ingestion["message"]))))
    if version is not None:
        console.print(Line(_version_line(version, _state(version))))
        show_gates(console, version.get("gates", ()))


def show_difference(console: Console, found: Mapping[str, Any]) -> None:
    """Print what differs between two versions: first whether who calls the old one may break with the new one."""
    console.print(Line(Text.assemble((printable(found["old"]), "bold"), "  →  ", (printable(found["new"]), "bold"))))
    word, style = BREAKING_SIGNS[found["signature"]]
    console.print(Text(word, style))
    for change in found["signatureChanges"][:MOST_LINES]:
        console.print(_inside(_signature_change(change)))
    for more in _more(found["signatureChanges"]):
        console.print(_inside(more))
    console.print(_pairs(_difference_pairs(found)))
    if found["metrics"]:
        console.print()
        console.print(_metric_changes(found["metrics"]))
        for more in _more(found["metrics"]):
            console.print(more)


BREAKING_SIGNS = {
    "same": ("✓ the signatures are the same", "green"),
    "compatible": ("✓ the signatures are compatible: who calls the old one can call the new one", "green"),
    "breaking": ("▲ breaking: who calls the old one may fail with the new one", "red"),
}


def _signature_change(change: Mapping[str, Any]) -> Text:
    what = f"{change['side']} {printable(change['tensor'])}" if change["side"] else "signature"
    line = Text.assemble(("▲ " if change["breaking"] else "  ", "red"), (printable(change["signature"]), "cyan"), f"  {what}  ")
    if change["change"] == "shape":
        old, new = (f"[{dims({'shape': change[side]})}]" for side in ("old", "new"))
        return line.append(printable(f"{old} → {new}"))
    if change["change"] == "dtype":
        return line.append(printable(f"{change['old']} → {change['new']}"))
    return line.append(change["change"])


def _difference_pairs(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("format", "framework"):
        if found[name]:
            yield name, printable(" → ".join(_in_a_word(value) for value in found[name]))
    if found["parameters"]:
        yield "parameters", " → ".join(_parameters(value or {}) or NOTHING for value in found["parameters"])
    if found["sizeBytes"]:
        yield "size", " → ".join(NOTHING if value is None else size(value) for value in found["sizeBytes"])
    operators = [f"{name} {old} → {new}" for name, (old, new) in found["operators"].items()]
    yield (
        "operators",
        printable(", ".join(operators[:MOST_OPERATORS])) + "".join(f" {more}" for more in _more(operators, MOST_OPERATORS)),
    )
    for what, side in (("new findings", "new"), ("gone findings", "gone")):
        rules = Counter(one["rule"] for one in found["findings"][side])
        yield what, printable(_most(rules, MOST_OPERATORS))
    if found["files"] is not None:
        counts = (f"{len(found['files'][word])} {word}" for word in ("added", "removed", "changed"))
        yield "files", f"{', '.join(counts)}, {found['files']['same']} the same"


def _in_a_word(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['name']} {value['version'] or ''}".strip()
    return NOTHING if value is None else FORMAT_WORDS.get(value, str(value))


def _metric_changes(metrics: Sequence[Mapping[str, Any]]) -> Table:
    shown = table("METRIC", "SESSION", ">OLD", ">NEW")
    for one in metrics[:MOST_LINES]:
        values = (
            NOTHING if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
            for value in (one["old"], one["new"])
        )
        shown.add_row(Text(printable(one["name"])), Text(printable(one["session"] or ".")), *values)
    return shown


def show_answer(console: Console, answer: Mapping[str, Any], path: str) -> None:
    """Show what a server answered to a completion, in a line: its id, its state, and the *path* unless it was looked at."""
    looks = f"; {path} will be looked at" if path and answer["state"] in UNDER_WAY else ""
    console.print(Line(Text(printable(f"{answer['id']}: {answer['state']}{looks}"))))


def _ingestion_row(ingestion: Mapping[str, Any]) -> dict[str, Text]:
    return {
        "ID": Text(ingestion["id"], "cyan"),
        "STATE": Text(ingestion["state"], STATE_STYLES.get(ingestion["state"], "")),
        "REASON": Text(printable(ingestion["reason"] or NOTHING)),
        "ACCEPTED": Text(moment(ingestion["dtCreated"])),
        ">ATTEMPTS": Text(str(ingestion["attempts"])),
        "EXPERIMENT": Text(printable(ingestion["experimentId"] or NOTHING)),
        "PATH": Text(printable(ingestion["modelPath"])),
    }


def _delivery_row(delivery: Mapping[str, Any]) -> dict[str, Text]:
    return {
        "ID": Text(delivery["id"], "cyan"),
        "STATE": Text(delivery["state"], STATE_STYLES.get(delivery["state"], "")),
        "TO": Text(printable(delivery["destination"])),
        "WHAT": Text(f"{delivery['kind']} {delivery['versionId'] or delivery['ingestionId'] or NOTHING}"),
        "SINCE": Text(moment(delivery["dtCreated"])),
        ">ATTEMPTS": Text(str(delivery["attempts"])),
        "MESSAGE": Text(printable(delivery["message"] or NOTHING)),
    }


def show_records(console: Console, records: Sequence[Mapping[str, Any]], otherwise: str) -> None:
    """Show records of one kind, a column for each field, the first is what they are called; *otherwise* where there is none."""
    if not records:
        console.print(otherwise)
        return
    rows = [{_heading(name): Text(printable(_cell(name, value))) for name, value in one.items()} for one in records]
    print_rows(console, rows, head=tuple(rows[0])[:1])


def _heading(name: str) -> str:
    """Return the name of a field as the head of a column: `dtLastUsed` is `LAST USED`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removeprefix("dt")).upper()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return NOTHING
    return moment(value) if name == "at" or name.startswith("dt") else str(value)


UNDER_WAY = ("received", "waiting", "running")
"""States of an ingestion that has not ended."""

STATE_STYLES = {"failed": "red", "running": "cyan", "waiting": "yellow", "registered": "green"}


def show_ingestion(console: Console, ingestion: Mapping[str, Any]) -> None:
    """Show one ingestion: how it stands, what was asked for, and its steps."""
    console.print(_pairs(_ingestion_pairs(ingestion)))
    steps = table("AT", "STATE", "REASON", "")
    for step in told_once(ingestion["history"], _said):
        if isinstance(step, int):
            steps.add_row("", "", "", Text(f"and {exact(step)} more steps like these two", "dim"))
            continue
        steps.add_row(
            moment(step["at"]), step["state"], printable(step["reason"] or ""), Line(Text(printable(step["message"] or "")))
        )
    console.print()
    console.print(steps)


def _said(step: Mapping[str, Any]) -> object:
    """Return what a step says, whoever made it."""
    return step["state"], step["reason"], step["reason"] == "claimed" or step["message"]


def _ingestion_pairs(ingestion: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "ingestion", ingestion["id"]
    yield "state", ingestion["state"]
    yield "reason", printable(ingestion["reason"] or "")
    yield "message", printable(ingestion["message"] or "")
    yield "version", ingestion["versionId"] or ""
    yield "path", printable(ingestion["modelPath"])
    yield "project", printable(ingestion["projectId"])
    yield "experiment", printable(ingestion["experimentId"] or "")
    yield "asked by", printable(_asked_by(ingestion["trigger"], ingestion["source"]))
    yield "accepted", f"{moment(ingestion['dtCreated'])} UTC"
    yield "format", ingestion["format"] or ""
    yield "attempts", str(ingestion["attempts"])


def _asked_by(trigger: str, source: str) -> str:
    return trigger if source == trigger else f"{trigger} from {source}"


def show_checks(console: Console, checks: Sequence[Mapping[str, Any]]) -> None:
    """Print one line for each check of `doctor`."""
    signs = {"ok": ("✓", "green"), "repaired": ("✓", "yellow"), "trouble": ("⬣", "red")}
    for check in checks:
        sign, style = signs[check["state"]]
        console.print(Line(Text.assemble((sign, style), f" {printable(check['name'])}: {printable(check['says'])}")))


def show_explanation(console: Console, path: str, said: Mapping[str, Any]) -> None:
    """Print the steps that `explain` took, what an attempt would come to, and what nearly was a model."""
    signs = {"ok": ("✓", "green"), "note": ("·", "dim"), "waits": ("◔", "yellow"), "stops": ("⬣", "red")}
    for line in said["lines"]:
        sign, style = signs[line["state"]]
        console.print(Line(Text.assemble((sign, style), f" {printable(line['about'])}: {printable(line['says'])}")))
    for sentence in said["near"]:
        console.print(Line(Text.assemble(("→", "cyan"), f" {printable(sentence)}")))
    outcome = said["outcome"]
    word = Text(COMES_TO[outcome], STATE_STYLES.get(outcome, "bold"))
    console.print(Line(Text.assemble((printable(path), "bold"), " ", word, f" ({said['reason']})")))


COMES_TO = {
    "registered": "would be registered",
    "unchanged": "is registered already",
    "waiting": "would be waited for",
    "nothing_found": "holds no model",
    "failed": "would fail",
}
"""What `explain` says of a path, by what an attempt would come to."""


def minute(timestamp: str) -> str:
    """Return a timestamp of our JSON to the minute: `2026-01-01 10:05`, in UTC."""
    return timestamp[:16].replace("T", " ")


def moment(timestamp: str) -> str:
    """Return a timestamp of our JSON to the second, in UTC."""
    return timestamp[:19].replace("T", " ")


def number(count: int | None) -> str:
    """Return a count as people say it; a dash where it is unknown."""
    return NOTHING if count is None else short(count)


def duration(seconds: float) -> str:
    """Return a time as people say it: `44.9 ms`, `1.3 s`."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def shape(tensor: Mapping[str, Any]) -> str:
    """Return a tensor as people read it: `x: float32[?, 1024]`; `[…]` for an unknown rank."""
    return printable(f"{tensor['name']}: {tensor['dtype']}[{dims(tensor)}]")


def dims(tensor: Mapping[str, Any]) -> str:
    """Return the shape of a tensor as people read it, without its brackets."""
    known = tensor["shape"]
    return "…" if known is None else ", ".join("?" if dim is None else str(dim) for dim in known)


def _model(model: Mapping[str, Any], whole: Wholeness) -> RenderableType:
    facts = model["facts"]
    sign, style = WHOLENESS_SIGNS[whole]
    title = Text.assemble(
        (FORMAT_WORDS.get(model["format"], model["format"]), "bold"), f"  {printable(model['root']) or '.'}  "
    )
    title.append(sign, style).append(f"  {size(facts['size_bytes'])}")
    if model["primary"]:
        title.append("  primary", "dim")
    facts_below = Padding(_pairs(_fact_pairs(facts), ITEMS), (0, 0, 0, STEP), expand=False)
    return Group(Line(title), *_problems(model, style), facts_below, *_signatures(facts["signatures"]))


def _problems(model: Mapping[str, Any], style: str, indent: int = STEP) -> Iterator[RenderableType]:
    problems = model["completeness"]["problems"]
    for problem in problems[:MOST_PROBLEMS]:
        yield _inside(Text(f"{printable(problem['path'])}: {printable(problem['problem'])}", style), indent)
    for more in _more(problems, MOST_PROBLEMS, style):
        yield _inside(more, indent)


def _inside(text: Text, indent: int = STEP, piece: re.Pattern[str] = WORDS) -> RenderableType:
    """Return *text* as a line that stands in, also where it is broken."""
    return Padding(Line(text, piece), (0, 0, 0, indent), expand=False)


def _others(models: Sequence[tuple[Mapping[str, Any], Wholeness]]) -> RenderableType | None:
    """Return a line for each model that is not the primary one, and below it, further in, its problems.

    The path comes last, so that the columns before it stand below each other whatever the paths are.
    """
    if not models:
        return None
    lines: list[RenderableType] = [Text("also here", "dim")]
    shown = models[:MOST_LINES]
    signs = _equally_wide([WHOLENESS_SIGNS[whole][0] for _, whole in shown])
    sizes = _equally_wide([size(model["facts"]["size_bytes"]) for model, _ in shown], is_right=True)
    formats = _equally_wide([FORMAT_WORDS.get(model["format"], model["format"]) for model, _ in shown])
    for (model, whole), sign, bytes_told, format in zip(shown, signs, sizes, formats, strict=True):
        style = WHOLENESS_SIGNS[whole][1]
        line = Text.assemble((sign, style), f"  {bytes_told}  {format}  {printable(model['root']) or '.'}")
        lines += [_inside(line), *_problems(model, style, 2 * STEP)]
    return Group(*lines, *map(_inside, _more(models)))


def _equally_wide(cells: Sequence[str], is_right: bool = False) -> list[str]:
    """Return *cells* of characters of one column each, filled up with spaces to the widest."""
    width = max(map(len, cells))
    return [cell.rjust(width) if is_right else cell.ljust(width) for cell in cells]


def _fact_pairs(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "written by", printable(" · ".join(_writers(facts["framework"], facts["producer"])))
    yield "saved as", STYLE_WORDS.get(facts["style"], printable(facts["style"] or ""))
    yield "tags", printable("; ".join(", ".join(tags) or "none" for tags in facts["tags"]))
    yield (
        "opsets",
        printable(", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in facts["opset_imports"].items())),
    )
    yield "parameters", _parameters(facts["parameters"])
    yield "operators", printable(_most(facts["operators"], MOST_OPERATORS))
    yield "custom", printable(", ".join(facts["custom_operators"]))
    yield "created", f"{moment(facts['created'])} UTC" if facts["created"] else ""


def _writers(framework: Mapping[str, str | None] | None, producer: str | None) -> Iterator[str]:
    """Yield what wrote a model, each name once: an ONNX file names one tool, which is both."""
    named = f"{framework['name']} {framework['version'] or ''}".strip() if framework else ""
    if named:
        yield named
    if producer and producer.casefold() != named.casefold():
        yield producer


def _parameters(parameters: Mapping[str, int | None]) -> str:
    known = [f"{number(count)} {word}" for word, count in parameters.items() if count is not None]
    return ", ".join(known)


def _most(counts: Mapping[str, int], most: int) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} {count}" for name, count in ordered[:most])
    return shown + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def _signatures(signatures: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    for signature in signatures[:MOST_LINES]:
        yield _inside(
            Text.assemble(("signature ", "dim"), (printable(signature["name"]), "cyan"), f"  {printable(signature['method'])}")
        )
        yield _inside(Text(_tensors(signature["inputs"], "(no inputs)")), 2 * STEP, ITEMS)
        yield _inside(Text("→ " + _tensors(signature["outputs"], "(no outputs)")), STEP, ITEMS)
    yield from map(_inside, _more(signatures))


def _tensors(tensors: Sequence[Mapping[str, Any]], otherwise: str) -> str:
    shown = ", ".join(shape(tensor) for tensor in tensors[:MOST_TENSORS]) or otherwise
    return shown + (f" and {len(tensors) - MOST_TENSORS} more" if len(tensors) > MOST_TENSORS else "")


def _pairs(pairs: Iterable[tuple[str, str]], piece: re.Pattern[str] = WORDS) -> RenderableType:
    """Return a line for each name that has a value, broken between pieces."""
    shown = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    shown.add_column(style="dim", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            shown.add_row(name, Line(Text(value), piece))
    return shown


def _metrics(metrics: Mapping[str, Any]) -> RenderableType | None:
    values = metrics["values"]
    if not values:
        return None
    shown = table("METRIC", ">LAST VALUE", ">STEP", "SESSION")
    for metric in values[:MOST_LINES]:
        step = NOTHING if metric["step"] is None else str(metric["step"])
        session = printable(metric["session"]) or NOTHING
        shown.add_row(Line(Text(printable(metric["name"]))), _value(metric["value"]), step, Line(Text(session)))
    return Group(shown, *_more(values))


def _value(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _metadata(metadata: Mapping[str, Any]) -> RenderableType | None:
    if metadata["source"] is None:
        return None
    return Line(Text(f"metadata {printable(metadata['source'])}: {printable(metadata['why'])}", "dim"))


def _findings(findings: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    if not findings:
        return None
    lines: list[RenderableType] = []
    for finding in findings[:MOST_LINES]:
        place = f" ({finding['place']})" if finding["place"] else ""
        line = Text.assemble((finding["severity"], SEVERITY_STYLES[finding["severity"]]), "  ", (finding["rule"], "bold"))
        lines.append(Line(line.append(printable(f"  {finding['path']}{place}: {finding['message']}"))))
    return Group(*lines, *_more(findings), *_advice(findings))


def _advice(findings: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Yield what to do about findings, a line for each of their rules; about what is only `info` there is nothing to do, and
    reports of older releases have no advice.
    """
    advice = {finding["rule"]: finding.get("advice") for finding in findings if finding["severity"] != Severity.INFO}
    for rule, said in list(advice.items())[:MOST_LINES]:
        if said:
            yield _inside(Text.assemble(("→ ", "cyan"), (rule, "dim"), f": {printable(said)}"))


def _coverage(report: Mapping[str, Any], is_earlier: bool) -> RenderableType:
    coverage, read = report["coverage"], report["read"]
    lines = [*_remarks("note", coverage["skipped"], "dim"), *_remarks("not read", coverage["inconclusive"], "yellow")]
    files = f"{read['files']} file{'' if read['files'] == 1 else 's'}"
    when = " when it was registered" if is_earlier else ""
    cost = f"read {size(read['bytes'])} of {files} in {duration(read['seconds'])}{when}"
    return Group(*lines, Line(Text(cost, "dim")))


def _remarks(what: str, remarks: Sequence[Mapping[str, Any]], style: str) -> Iterator[RenderableType]:
    for one in remarks[:MOST_LINES]:
        yield Line(Text(printable(f"{what}  {one['path']}: {one['reason']}"), style))
    yield from _more(remarks, style=style)


def _drift(drift: Mapping[str, Any] | None) -> str:
    """Return how the files were found later; nothing where nobody looked."""
    if drift is None:
        return ""
    told = f"{drift['state']} at {moment(drift['dtSeen'])} UTC: {printable(drift['says'])}"
    return told if drift["trouble"] is None else f"{told}; at {moment(drift['dtLooked'])} UTC {printable(drift['trouble'])}"


def _rules(version: Mapping[str, Any]) -> str:
    """Return by which rules a version was judged, where there are newer ones."""
    known, newest = version["rulesVersion"], version["newestRulesVersion"]
    return "" if known == newest else f"rules {printable(known)}, newest {newest}; `modelport rescan --outdated` judges it anew"


def _quarantine(held: Mapping[str, Any] | None) -> str:
    """Return since when and why a version is in quarantine, or who released it, when and why; nothing where it never was."""
    if held is None:
        return ""
    said = f"since {moment(held['dtSince'])} UTC: {printable(held['why'])}"
    release = held["released"]
    if release is None:
        return said
    who = f" by {printable(release['by'])}" if release["by"] else ""
    return f"released at {moment(release['dtReleased'])} UTC{who}: {printable(release['reason'])}; it was in quarantine {said}"


def _version_pairs(version: Mapping[str, Any], twin: str) -> Iterator[tuple[str, str]]:
    yield "quarantine", _quarantine(version.get("quarantine"))
    yield "warning", printable(version.get("warning") or "")
    yield "project", printable(_project(version))
    yield "experiment", printable(version["experimentId"] or "")
    yield "type", version["modelType"]
    yield "size", size(version["sizeBytes"])
    yield "digest", version["digest"]
    yield "kept", f"{version['store']} at {printable(version['url'])}"
    yield "files now", _drift(version["drift"])
    yield "judged by", _rules(version)
    yield "equal to", _called(version["duplicateOf"], twin) if version["duplicateOf"] else ""
    yield "tags", printable(", ".join(version["tags"]))
    yield "notes", printable(version["notes"] or "")
    yield "published", "for all teams" if version["published"] else ""
    yield "registered", f"{moment(version['dtCreated'])} UTC"
