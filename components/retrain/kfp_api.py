"""Kubeflow Pipelines' API, as far as a step starts a run through it.

The server gives a run an id of its own and takes any number of runs of one name. So a run is looked
for before it is started, and again where an answer was lost; where two came to be nevertheless, all
but the first are ended.
"""

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import requests

from components.shared.errors import StepError
from components.summary.servers import ATTEMPTS, PAUSE, call

RUNS = "/apis/v2beta1/runs"
PAGE = 100  # runs looked through, the newest first
# Where Kubeflow puts a service account's token for its pipelines, and the variable that says so.
TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
TOKEN_PATH = "KF_PIPELINES_SA_TOKEN_PATH"
# Parameters of a run that are of that run alone: where its checkpoints are, and which days it read.
OWN = {"checkpoints": "", "span": 0, "until": ""}

Run = dict[str, Any]


def token() -> str:
    """Returns the token that an installation for several users wants; empty where there is none."""
    path = Path(os.environ.get(TOKEN_PATH, TOKEN))
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


class Api(NamedTuple):
    """An API server."""

    address: str
    token: str

    def run(self, run_id: str) -> Run | None:
        """Returns a run with its pipeline and parameters; None where it is not there.

        Raises:
            StepError: The server does not say.
        """
        return self._get(f"{RUNS}/{run_id}")

    def start_once(
        self, like: Run, name: str, given: Mapping[str, Any], prefix: str, pause: int
    ) -> bool:
        """Starts a run, unless there is one of its name; at the end there is one.

        Args:
            like: The run whose pipeline, experiment, account and other parameters it has.
            name: Its name.
            given: Parameters that differ.
            prefix: What names of such runs begin with.
            pause: Days from the start of another such run in which none is started.

        Returns:
            Whether there was none of that name.

        Raises:
            StepError: Another one began within the pause, or the server refuses or does not answer.
        """
        experiment = str(like.get("experiment_id", ""))
        runs = self._runs(experiment, prefix)
        if _named(runs, name):
            return False
        _check_pause(runs, pause)
        self._create(_body(like, name, given), experiment, name)
        for other in _named(self._runs(experiment, name), name)[1:]:
            self._post(f"{RUNS}/{other['run_id']}:terminate", {})
        return True

    def _create(self, body: Run, experiment: str, name: str) -> None:
        for attempt in range(ATTEMPTS):
            reason = self._post(RUNS, body)
            # An answer that was lost, or an error on the way back, says nothing of the run.
            if not reason or _named(self._runs(experiment, name), name):
                return
            time.sleep(PAUSE * 2**attempt)
            if _named(self._runs(experiment, name), name):
                return
        raise StepError(f"{self.address}: {reason}")

    def _runs(self, experiment: str, part: str) -> list[Run]:
        """Lists the runs of an experiment whose names have a part, the newest first."""
        predicate = {"operation": "IS_SUBSTRING", "key": "display_name", "stringValue": part}
        found = self._get(
            RUNS,
            experiment_id=experiment,
            page_size=PAGE,
            sort_by="created_at desc",
            filter=json.dumps({"predicates": [predicate]}),
        )
        runs = (found or {}).get("runs", [])
        return [run for run in runs if str(run.get("display_name", "")).startswith(part)]

    def _get(self, path: str, **parameters: Any) -> Run | None:
        status, body = self._call("GET", path, params=parameters)
        if status == requests.codes.not_found:
            return None
        if status != requests.codes.ok:
            raise StepError(f"{self.address}: it answered {status}{_hint(status)}")
        try:
            found: Run = json.loads(body)
        except ValueError:
            raise StepError(f"{self.address}: it answered something else than runs") from None
        return found

    def _post(self, path: str, body: Run) -> str:
        """Posts once; returns why it may not have worked, and an empty text where it has."""
        try:
            status, _ = self._call("POST", path, attempts=1, json=body)
        except StepError as error:
            return str(error)
        if status == requests.codes.ok:
            return ""
        return f"it answered {status}{_hint(status)}"

    def _call(self, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            return call(method, f"{self.address}{path}", headers=headers, **options)
        except StepError as error:
            raise StepError(f"{self.address}: {error}") from None


def _named(runs: list[Run], name: str) -> list[Run]:
    """Returns the runs of a name, the first one first, the same for whoever looks."""
    mine = [run for run in runs if run["display_name"] == name]
    return sorted(mine, key=lambda run: (str(run["created_at"]), str(run["run_id"])))


def _check_pause(runs: list[Run], pause: int) -> None:
    since = datetime.now(UTC) - timedelta(pause)
    for run in runs:
        if datetime.fromisoformat(str(run["created_at"])) > since:
            raise StepError(
                f"{run['display_name']} began {run['created_at']}; the pause is {pause} days"
            )


def _body(like: Run, name: str, given: Mapping[str, Any]) -> Run:
    """Returns a run that is another again, but for some parameters."""
    config = dict(like.get("runtime_config") or {})
    before = dict(config.get("parameters") or {})
    own = {name: value for name, value in OWN.items() if name in before}
    kept = ("experiment_id", "pipeline_spec", "pipeline_version_reference", "service_account")
    return {
        **{field: like[field] for field in kept if like.get(field)},
        "display_name": name,
        "runtime_config": {**config, "parameters": {**before, **own, **given}},
    }


def _hint(status: int) -> str:
    refused = (requests.codes.unauthorized, requests.codes.forbidden)
    return "; deploy/rbac.yaml has the rights it takes" if status in refused else ""
