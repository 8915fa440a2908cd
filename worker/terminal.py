"""How reports and versions look to a person at a terminal.

In go the plain values that the JSON output holds too, out come Rich renderables; nothing is read or decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

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
}
STATE_SIGNS = {
    "complete": ("✓ complete", "green"),
    "incomplete": ("▲ incomplete", "yellow"),
    "corrupt": ("⬣ corrupt", "red"),
}
VERDICT_SIGNS = {
    "clean": ("✓ clean", "green"),
    "findings": ("▲ findings", "yellow"),
    "inconclusive": ("◌ not fully read", "yellow"),
    "nothing": ("– nothing recognisable", "dim"),
}
SEVERITY_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim", "info": "dim"}
KEEP_WHOLE = ("ID", "TYPE", "STATE", ">SIZE", "CREATED", ">VALUE", ">STEP", "SHA-256")
"""Columns whose cells are never broken over lines."""

MOST_OPERATORS = 8
MOST_METRICS = 12
MOST_FILES = 20
MOST_TENSORS = 12
MOST_PROBLEMS = 5
MOST_MODELS = 20


def show_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print a scan report: the verdict first, then the findings, the primary model, the others, and the metrics."""
    sign, style = VERDICT_SIGNS[report["verdict"]]
    console.print(Text.assemble((clean(report["path"]), "bold"), "  ", (sign, style)))
    parts = (
        _findings(report["findings"]),
        *(_model(model) for model in report["models"] if model["primary"]),
        _others([model for model in report["models"] if not model["primary"]]),
        _metrics(report["metrics"]),
        _metadata(report["metadata"]),
        _coverage(report),
    )
    for part in parts:
        if part is not None:
            console.print()
            console.print(part)


def show_version(console: Console, version: Mapping[str, Any]) -> None:
    """Print what the registry knows of one version, above its report."""
    title = Text.assemble((f"{clean(version['name'])}@{version['number']}", "bold"), "  ", (version["id"], "cyan"))
    console.print(title)
    console.print(_pairs(_version_pairs(version)))


def show_files(console: Console, files: Sequence[Mapping[str, Any]]) -> None:
    """Print the files of a version with their sizes and the beginning of their digests."""
    table = _table("FILE", ">SIZE", "SHA-256")
    for file in files[:MOST_FILES]:
        table.add_row(Text(clean(file["path"])), size(file["size"]), Text(file["sha256"][:12] + "…", "dim"))
    console.print(table)
    if len(files) > MOST_FILES:
        console.print(Text(f"and {len(files) - MOST_FILES} more", "dim"))


def show_outcome(console: Console, ingestion: Mapping[str, Any], version: Mapping[str, Any] | None) -> None:
    """Print how an ingestion ended, in one line, and its version in another."""
    answer = ingestion.get("answer")
    if version is None:
        style = "red" if ingestion["state"] == "failed" else "yellow"
        console.print(Text.assemble((ingestion["state"].replace("_", " "), style), f": {clean(ingestion['message'])}"))
        return
    word = "registered" if answer == "created" else "unchanged"
    line = Text.assemble((word, "green"), " ", (f"{clean(version['name'])}@{version['number']}", "bold"), "  ")
    console.print(line.append(version["id"], "cyan").append(f"  {size(version['sizeBytes'])}"))
    if answer == "unchanged":
        console.print(Text(clean(ingestion["message"]), "dim"))
    if version.get("duplicateOf"):
        console.print(Text(f"equal to {version['duplicateOf']} of another experiment", "dim"))


NONE_YET = "No models yet. `modelport ingest PATH` registers what a run left below PATH."


def show_versions(console: Console, versions: Sequence[Mapping[str, Any]], is_filtered: bool = False) -> None:
    """Print a table of versions, newest first, or what to do when there is none."""
    if not versions:
        console.print("No model matches. `modelport models list` without options shows all." if is_filtered else NONE_YET)
        return
    columns = [name for name, least in LIST_COLUMNS.items() if console.width >= least]
    table = _table(*columns)
    for version in versions:
        row = _row(version)
        table.add_row(*(row[name] for name in columns))
    console.print(table)


LIST_COLUMNS = {"ID": 0, "MODEL": 0, "STATE": 0, ">SIZE": 60, "TYPE": 75, "CREATED": 90, "PROJECT": 105, "EXPERIMENT": 120}
"""Columns of a list of versions, and the least width of a terminal that shows them: nothing is squeezed to two letters."""


def _row(version: Mapping[str, Any]) -> dict[str, RenderableType]:
    whole = version["completeness"] == "complete"
    state = VERDICT_SIGNS[version["verdict"]] if whole else STATE_SIGNS[version["completeness"]]
    return {
        "ID": Text(version["id"], "cyan"),
        "MODEL": Text(f"{clean(version['name'])}@{version['number']}"),
        "STATE": Text(*state),
        ">SIZE": size(version["sizeBytes"]),
        "TYPE": version["modelType"],
        "CREATED": version["dtCreated"][:16].replace("T", " "),
        "PROJECT": Text(clean(version["projectId"])),
        "EXPERIMENT": Text(clean(version["experimentId"] or "–")),
    }


def _table(*columns: str) -> Table:
    """Return an empty table without lines; a column whose name begins with `>` holds numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify, overflow="fold", no_wrap=name in KEEP_WHOLE)
    return table


def show_ingestions(console: Console, ingestions: Sequence[Mapping[str, Any]]) -> None:
    """Show ingestions as a table, one a line."""
    if not ingestions:
        console.print("no ingestions")
        return
    table = _table("ingestion", "state", "experiment", "path", "tries", "accepted", "why")
    for one in ingestions:
        style = STATE_STYLES.get(one["state"], "")
        cells = (
            Text(one["id"]),
            Text(one["state"], style=style),
            Text(clean(one["experimentId"] or "")),
            Text(clean(one["modelPath"])),
            Text(str(one["attempts"])),
            Text(one["dtCreated"][:19].replace("T", " ")),
            Text(clean(one["reason"] or "")),
        )
        table.add_row(*cells)
    console.print(table)


def show_records(console: Console, records: Sequence[Mapping[str, Any]], otherwise: str) -> None:
    """Show records of one kind as a table, a column for each field; *otherwise* where there is none."""
    if not records:
        console.print(otherwise)
        return
    table = _table(*records[0])
    for record in records:
        table.add_row(*(Text(clean("–" if value is None else str(value))) for value in record.values()))
    console.print(table)


STATE_STYLES = {"failed": "red", "running": "cyan", "waiting": "yellow", "registered": "green"}


def show_ingestion(console: Console, ingestion: Mapping[str, Any]) -> None:
    """Show one ingestion: what was asked for, how it stands, and its steps."""
    told = (
        "state",
        "reason",
        "message",
        "modelPath",
        "experimentId",
        "projectId",
        "trigger",
        "source",
        "attempts",
        "versionId",
    )
    console.print(_pairs([(name, clean(str(ingestion[name]))) for name in told if ingestion[name] not in (None, "")]))
    table = _table("at", "state", "why", "")
    for step in ingestion["history"]:
        at = step["at"][:19].replace("T", " ")
        table.add_row(at, step["state"], clean(step["reason"] or ""), clean(step["message"] or ""))
    console.print()
    console.print(table)


def show_checks(console: Console, checks: Sequence[Mapping[str, Any]]) -> None:
    """Print one line for each check of `doctor`."""
    signs = {"ok": ("✓", "green"), "repaired": ("✓", "yellow"), "trouble": ("⬣", "red")}
    for check in checks:
        sign, style = signs[check["state"]]
        console.print(Text.assemble((sign, style), f" {clean(check['name'])}: {clean(check['says'])}"))


def clean(text: str) -> str:
    """Return *text* without what could move the cursor or colour the terminal: control characters are shown escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(count: int) -> str:
    """Return a count of bytes in decimal units, three digits at least: `13.2 MB`."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count} B" if unit == "B" else f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def number(count: int | None) -> str:
    """Return a count as people say it: `3.27 M`; a dash where it is unknown."""
    if count is None:
        return "–"
    value, unit = float(count), ""
    for larger in ("k", "M", "G", "T"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return str(count) if not unit else f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a time as people say it: `44.9 ms`, `1.3 s`."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def shape(tensor: Mapping[str, Any]) -> str:
    """Return a tensor as people read it: `x: float32[?, 1024]`; `[…]` for an unknown rank."""
    dims = tensor["shape"]
    inside = "…" if dims is None else ", ".join("?" if dim is None else str(dim) for dim in dims)
    return clean(f"{tensor['name']}: {tensor['dtype']}[{inside}]")


def _model(model: Mapping[str, Any]) -> RenderableType:
    facts = model["facts"]
    sign, style = STATE_SIGNS[model["completeness"]["state"]]
    title = Text.assemble((FORMAT_WORDS.get(model["format"], model["format"]), "bold"), f"  {clean(model['root']) or '.'}  ")
    title.append(sign, style).append(f"  {size(facts['size_bytes'])}")
    if model["primary"]:
        title.append("  primary", "dim")
    return Group(title, *_problems(model, style), _pairs(_fact_pairs(facts)), *_signatures(facts["signatures"]))


def _problems(model: Mapping[str, Any], style: str) -> Iterator[Text]:
    problems = model["completeness"]["problems"]
    for problem in problems[:MOST_PROBLEMS]:
        yield Text(f"  {clean(problem['path'])}: {clean(problem['problem'])}", style)
    if len(problems) > MOST_PROBLEMS:
        yield Text(f"  and {len(problems) - MOST_PROBLEMS} more", style)


def _others(models: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    """Return a line for each model that is not the primary one, and its problems."""
    if not models:
        return None
    lines: list[RenderableType] = [Text("also here", "dim")]
    for model in models[:MOST_MODELS]:
        sign, style = STATE_SIGNS[model["completeness"]["state"]]
        line = Text(f"  {clean(model['root']) or '.'}  {FORMAT_WORDS.get(model['format'], model['format'])}  ")
        lines += [line.append(sign, style).append(f"  {size(model['facts']['size_bytes'])}"), *_problems(model, style)]
    if len(models) > MOST_MODELS:
        lines.append(Text(f"  and {len(models) - MOST_MODELS} more", "dim"))
    return Group(*lines)


def _fact_pairs(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    framework = facts["framework"]
    written = [f"{framework['name']} {framework['version'] or ''}".strip()] if framework else []
    written += [facts["producer"]] if facts["producer"] and facts["producer"] not in written else []
    written += [facts["style"].replace("_", " ")] if facts["style"] else []
    yield "written by", clean(" · ".join(written))
    yield "tags", clean("; ".join(", ".join(tags) or "none" for tags in facts["tags"]))
    yield "opsets", clean(", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in facts["opset_imports"].items()))
    yield "parameters", _parameters(facts["parameters"])
    yield "operators", clean(_most(facts["operators"], MOST_OPERATORS))
    yield "custom", clean(", ".join(facts["custom_operators"]))
    yield "created", facts["created"] or ""


def _parameters(parameters: Mapping[str, int | None]) -> str:
    known = [f"{number(count)} {word}" for word, count in parameters.items() if count is not None]
    return ", ".join(known)


def _most(counts: Mapping[str, int], most: int) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} {count}" for name, count in ordered[:most])
    return shown + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def _signatures(signatures: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    for signature in signatures:
        yield Text.assemble("  ", (clean(signature["name"]), "cyan"), f"  {clean(signature['method'])}")
        yield Padding(Text(_tensors(signature["inputs"])), (0, 0, 0, 4))
        yield Padding(Text("→ " + _tensors(signature["outputs"])), (0, 0, 0, 2))


def _tensors(tensors: Sequence[Mapping[str, Any]]) -> str:
    shown = ", ".join(shape(tensor) for tensor in tensors[:MOST_TENSORS]) or "nothing"
    return shown + (f" and {len(tensors) - MOST_TENSORS} more" if len(tensors) > MOST_TENSORS else "")


def _pairs(pairs: Iterable[tuple[str, str]]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            table.add_row(name, Text(value))
    return table


def _metrics(metrics: Mapping[str, Any]) -> RenderableType | None:
    values = metrics["values"]
    if not values:
        return None
    table = _table("METRIC", ">VALUE", ">STEP", "SESSION")
    for metric in values[:MOST_METRICS]:
        step = "–" if metric["step"] is None else str(metric["step"])
        table.add_row(Text(clean(metric["name"])), _value(metric["value"]), step, Text(clean(metric["session"]) or "–"))
    rest = [Text(f"and {len(values) - MOST_METRICS} more", "dim")] if len(values) > MOST_METRICS else []
    return Group(table, *rest)


def _value(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _metadata(metadata: Mapping[str, Any]) -> RenderableType | None:
    if metadata["source"] is None:
        return None
    return Text(f"metadata {clean(metadata['source'])}: {clean(metadata['why'])}", "dim")


def _findings(findings: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    if not findings:
        return None
    lines = []
    for finding in findings:
        place = f" ({finding['place']})" if finding["place"] else ""
        line = Text.assemble((finding["severity"], SEVERITY_STYLES[finding["severity"]]), "  ", (finding["rule"], "bold"))
        lines.append(line.append(clean(f"  {finding['path']}{place}: {finding['message']}")))
    return Group(*lines)


def _coverage(report: Mapping[str, Any]) -> RenderableType:
    coverage, read = report["coverage"], report["read"]
    lines = [Text(clean(f"note  {note['path']}: {note['reason']}"), "dim") for note in coverage["skipped"][:MOST_FILES]]
    lines += [
        Text(clean(f"not read  {note['path']}: {note['reason']}"), "yellow") for note in coverage["inconclusive"][:MOST_FILES]
    ]
    files = f"{read['files']} file{'' if read['files'] == 1 else 's'}"
    cost = f"read {size(read['bytes'])} of {files} in {duration(read['seconds'])}"
    return Group(*lines, Text(cost, "dim"))


def _version_pairs(version: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "project", clean(version["projectId"])
    yield "experiment", clean(version["experimentId"] or "")
    yield "type", version["modelType"]
    yield "size", size(version["sizeBytes"])
    yield "digest", version["digest"]
    yield "kept", f"{version['store']} at {clean(version['url'])}"
    yield "equal to", version["duplicateOf"] or ""
    yield "tags", clean(", ".join(version["tags"]))
    yield "created", version["dtCreated"]
