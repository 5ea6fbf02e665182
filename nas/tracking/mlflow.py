"""MLflow: a server's, or a database in the run's folder."""

from __future__ import annotations

import csv
import io
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.tracking.guard import without_secrets
from nas.tracking.tracker import TRACKERS, Rows, Status, TrackedRun, Value, numbers

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ENDED = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
ID_TAG = "formfinder.id"


@dataclass(frozen=True)
class Options:
    """``uri``: of the server or database; null: MLFLOW_TRACKING_URI, else one in the run folder."""

    experiment: str = "formfinder"
    uri: str | None = None


@TRACKERS.register
class Mlflow:
    name = "mlflow"
    label = "MLflow"
    summary = "MLflow, on a server or in a database in the run's folder (extra: mlflow)"
    options = Options
    keeps = True

    def start(self, run: TrackedRun, options: Options) -> MlflowTracker:
        return MlflowTracker(run, options)


class MlflowTracker:
    """A run of MLflow, found again by its tag. Touches no global state of MLflow's."""

    def __init__(self, run: TrackedRun, options: Options) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # A server that is away must not hold a search up for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise ImportError(
                "not installed: pip install 'formfinder[mlflow]'; the same command then fills it in"
            ) from error
        uri = options.uri or os.environ.get("MLFLOW_TRACKING_URI")
        place = run.place.resolve()
        artifacts = None
        if uri is None:
            place.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{place / 'mlflow.db'}"
            artifacts = (place / "mlflow-artifacts").as_uri()
        self._uri = uri
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its database layer's, about itself
            self._client = MlflowClient(tracking_uri=uri)
            self._run = self._opened(run, options, artifacts)

    def _opened(self, run: TrackedRun, options: Options, artifacts: str | None) -> str:
        client = self._client
        known = client.get_experiment_by_name(options.experiment)
        experiment = (
            known.experiment_id
            if known
            else client.create_experiment(options.experiment, artifact_location=artifacts)
        )
        found = client.search_runs([experiment], f"tags.`{ID_TAG}` = '{run.id}'")
        if found:
            client.update_run(found[0].info.run_id, "RUNNING")
            return str(found[0].info.run_id)
        made = client.create_run(
            experiment,
            run_name=f"{run.title} {run.part}",
            tags={ID_TAG: run.id, "kind": run.kind, "run": run.title},
        )
        client.log_dict(made.info.run_id, dict(run.config), "config.json")
        return str(made.info.run_id)

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        for name, value in numbers(values).items():
            self._client.log_metric(self._run, _name(name), value, step=step)

    def table(self, name: str, rows: Rows) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([rows.columns, *rows.rows])
        self._client.log_text(self._run, text.getvalue(), f"{name}.csv")

    def figure(self, name: str, figure: Figure) -> None:
        self._client.log_figure(self._run, figure, f"figures/{name}.html")

    def artifact(self, name: str, kind: str, files: Sequence[Path]) -> None:
        for path in files:
            self._client.log_artifact(self._run, str(path), kind)

    def finish(self, status: Status) -> str | None:
        self._client.set_terminated(self._run, ENDED[status])
        return f"mlflow: {without_secrets(self._uri)}"


def _name(metric: str) -> str:
    return re.sub(r"[^\w\-./ ]", "_", metric)
