"""Writes the reference pages that follow from the code: commands, settings, findings. `make reference`; tests keep them so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from detectors.rules import RULES, Rule
from worker.cli import app
from worker.settings import FILE_NAME, PREFIX, Settings

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
WIDTH = 100


def commands_page() -> str:
    """Return the page of all commands: the text of each one's `--help`."""
    lines = ["# Commands", "", "Generated from the program by `make reference`.", ""]
    for name, command in _walk("modelport", app):
        settings = {**app.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
        context = click.Context(command, info_name=name, **settings)
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        lines += [f"## `{name}`", "", "```text", text.strip(), "```", ""]
    return "\n".join(lines)


def settings_page() -> str:
    """Return the page of all settings with their defaults."""
    lines = [
        "# Settings",
        "",
        "Generated from the program by `make reference`.",
        f"Each is read from the environment, or from `{FILE_NAME}` in the working folder, where its name is in lower case",
        f"and without `{PREFIX}`; the environment wins.",
        "A wrong value stops the start and says what was wanted.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        lines.append(f"| `{PREFIX}{name.upper()}` | {_default(default)} | {field.description} |")
    lines += ["", "Traces are turned on by OpenTelemetry's own `OTEL_EXPORTER_OTLP_ENDPOINT`: [how](../howto/traces.md)."]
    return "\n".join(lines) + "\n"


def findings_page() -> str:
    """Return the page of all rules."""
    lines = [
        "# Findings",
        "",
        "Generated from the program by `make reference`.",
        "Each finding has a stable rule, a severity, and a place.",
        "`high` and `critical` make the verdict `findings` and the exit status 1.",
        "",
        "| rule | severity | what it says |",
        "|---|---|---|",
    ]
    rules = sorted(RULES.values(), key=lambda rule: rule.name)
    lines += [f"| [`{rule.name}`](#{rule.name}) | {_severities(rule)} | {rule.says} |" for rule in rules]
    for rule in rules:
        lines += ["", f"## {rule.name}", "", f"Severity {_severities(rule)}; rules version {rule.since}.", ""]
        lines += [f"- **Says**: {rule.says}.", f"- **Why it matters**: {rule.why}.", f"- **What to do**: {rule.advice}."]
    return "\n".join(lines) + "\n"


def _severities(rule: Rule) -> str:
    return " or ".join(rule.severities)


def _default(value: object) -> str:
    return "–" if value in (None, {}) else f"`{value}`"


def _walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for child, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _walk(f"{name} {child}", inner)


def main() -> None:
    """Write the pages."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    (REFERENCE / "commands.md").write_text(commands_page(), encoding="utf-8")
    (REFERENCE / "settings.md").write_text(settings_page(), encoding="utf-8")
    (REFERENCE / "findings.md").write_text(findings_page(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
