"""Airflow: callbacks of a training task that report its completion, whether it went well or not.

Put this file beside your DAGs, where `modelport` is installed:

    PythonOperator(task_id="train", on_success_callback=report_completion, on_failure_callback=report_completion, ...)

The task writes its model below `model_path(context)`, which it may call as well. MODELPORT_API_URL and MODELPORT_TOKEN come
from the environment of the workers; completions that no server takes are kept below MODELPORT_HOME and sent with the next one.
Nothing of Airflow is imported, so it works with any version that calls back with a context.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUNS = "/shared/runs"
"""Where runs lie, unless MODELPORT_RUNS says otherwise; the workers of modelport see it as well."""

PATIENCE_SECONDS = 60

log = logging.getLogger(__name__)


def model_path(context: Mapping[str, Any]) -> Path:
    """Return the folder of the model of this run of the task."""
    ran = context["ti"]
    return Path(os.environ.get("MODELPORT_RUNS", RUNS), ran.dag_id, ran.run_id, ran.task_id)


def report_completion(context: Mapping[str, Any]) -> None:
    """Report how the task ended. What goes wrong here is logged and never fails the task."""
    ran = context["ti"]
    state = "failed" if context.get("exception") else "stopped"
    attempt = f"airflow/{ran.dag_id}/{ran.run_id}/{ran.task_id}/{getattr(ran, 'map_index', -1)}/{ran.try_number}"
    command = ["modelport", "complete", f"{ran.dag_id}.{ran.task_id}.{ran.run_id}", "--project", ran.dag_id]
    command += ["--model-path", str(model_path(context)), "--state", state, "--id", attempt]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)  # noqa: S603 - a list
    except subprocess.CalledProcessError as exc:
        log.error("the completion was not taken: %s", exc.stderr)
    except (OSError, subprocess.TimeoutExpired) as exc:
        log.error("the completion was not reported: %s", exc)
