"""Pipelines that a server keeps, with versions: uploaded once, and run from there by name."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kfp_server_api
from kfp.client import Client

from components.shared.code import DIRTY, this_code
from components.shared.errors import StepError
from pipeline.compile import Package
from pipeline.remote.client import CONFLICT, Connection, api_errors_as_step_error, pages

SUM = 8  # hex digits of a content's sha256 at the end of a version's name


@dataclass(frozen=True)
class UploadedVersion:
    """A pipeline as it lies on a server."""

    pipeline_id: str
    version_id: str
    name: str
    package: Package
    link: str  # its page

    @classmethod
    def of(cls, connection: Connection, found: Any) -> "UploadedVersion":
        """Reads what the server answers."""
        return cls(
            str(found.pipeline_id),
            str(found.pipeline_version_id),
            str(found.display_name),
            Package.of(found.pipeline_spec),
            f"{connection.address}/#/pipelines/details/{found.pipeline_id}"
            f"/version/{found.pipeline_version_id}",
        )


def upload(connection: Connection, package: Package) -> tuple[UploadedVersion, bool]:
    """Uploads a compiled pipeline as a version, named for the commit and the content's sum.

    Its runs read data up to their own time: when a schedule's run is due, or when one by hand is
    made. KFP resolves that since 2.17.

    Returns:
        The version, and whether it is new: the same content, from whatever commit, is one version.

    Raises:
        StepError: The server cannot be reached or refuses.
    """
    client = connection.open()
    content = package.reading_to_schedule_time()
    text = json.dumps([content.spec, content.platforms], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:SUM]

    def same() -> list[UploadedVersion]:
        found = _versions(connection, client, pipeline)
        return [each for each in found if each.name.endswith(f"-{digest}")]

    with TemporaryDirectory() as scratch, api_errors_as_step_error(connection.host):
        pipeline = _find_or_create(connection, client, package)
        if found := same():
            return found[0], False
        file = Path(scratch) / "pipeline.yaml"
        content.write(file)
        code = this_code()
        commit = code.commit[:7] + DIRTY * code.dirty if code.commit else code.version
        try:
            client.upload_pipeline_version(str(file), f"{commit}-{digest}", pipeline_id=pipeline)
        except kfp_server_api.ApiException as error:
            if error.status != CONFLICT:  # somebody else uploads it at this moment
                raise
            return same()[0], False
    return same()[0], True


def find(connection: Connection, pipeline: str, version: str) -> UploadedVersion:
    """Returns a version of an uploaded pipeline.

    Args:
        connection: The server.
        pipeline: The pipeline's name.
        version: The version's name or its beginning; empty: the newest.

    Raises:
        StepError: There is none, or there are several, or the server cannot be reached or refuses.
    """
    client = connection.open()
    found: list[UploadedVersion] = []
    with api_errors_as_step_error(connection.host):
        if pipeline_id := _id_of(connection, client, pipeline):
            found = _versions(connection, client, pipeline_id)
    if not found:
        raise StepError(
            f"{connection.address}: no pipeline {pipeline!r}; run 'python -m pipeline upload'"
        )
    if not version:
        return found[0]
    matching = [each for each in found if each.name.startswith(version)]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(each.name for each in (matching or found)[:5])
    raise StepError(
        f"{connection.address}: {len(matching)} versions {version!r} of {pipeline}, expected one "
        f"of {names}"
    )


def _find_or_create(connection: Connection, client: Client, package: Package) -> str:
    if found := _id_of(connection, client, package.name):
        return found
    info = package.spec.get("pipelineInfo", {})
    body = kfp_server_api.V2beta1Pipeline(
        display_name=package.name,
        name=package.name,
        description=info.get("description"),
        namespace=connection.namespace or None,
    )
    with connection.api() as api:
        try:
            service = kfp_server_api.PipelineServiceApi(api)
            return str(service.pipeline_service_create_pipeline(body).pipeline_id)
        except kfp_server_api.ApiException as error:
            if error.status != CONFLICT:
                raise
            return _id_of(connection, client, package.name)


def _id_of(connection: Connection, client: Client, name: str) -> str:
    """Returns a pipeline's id, or nothing where the server has none of that name."""
    named = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    found = client.list_pipelines(
        filter=json.dumps({"predicates": [named]}), namespace=connection.namespace or None
    )
    return str(found.pipelines[0].pipeline_id) if found.pipelines else ""


def _versions(connection: Connection, client: Client, pipeline_id: str) -> list[UploadedVersion]:
    """Returns all versions of a pipeline, the newest first."""
    found = pages(
        connection,
        client.list_pipeline_versions,
        "pipeline_versions",
        pipeline_id=pipeline_id,
        sort_by="created_at desc",
    )
    return [UploadedVersion.of(connection, version) for version in found]
