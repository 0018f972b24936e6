"""A model's versions in a Cloud Storage bucket.

A bucket knows no rename of many objects. So the files of a version are uploaded under ``.staging/``
and copied from there to the version's prefix inside the storage, and ``saved_model.pb`` is uploaded
last, on condition that there is none: that one write makes the version visible, to this registry
and to TensorFlow Serving alike. The number belongs to one run, whose attempts all write the same
bytes, so whatever was sent by an attempt that was killed is taken up by the next.

Whatever is deleted is named with its generation, so that what was written meanwhile stays: every
attempt copies all of a version's files anew, and whoever makes a version the champion writes its
``saved_model.pb`` anew.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from google.api_core.exceptions import NotFound, PreconditionFailed

from components.registry.bucket import CONNECTIONS, Bucket, is_part
from components.registry.storage import (
    SERVABLE,
    STAGING,
    Conflict,
    Part,
    Stored,
    checked_name,
    number,
    whole_versions,
)
from components.shared.errors import StepError

ATTEMPTS = 5  # at a version whose staged files somebody else clears away


class GcsStorage:
    """The files of one model under a prefix of a bucket.

    Args:
        bucket: Name of the bucket.
        prefix: Where the model's files lie in it, without a slash at the end.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = Bucket(bucket, prefix)
        self.where = self._bucket.where

    def versions(self) -> list[int]:
        """Returns the numbers of the whole versions, ascending."""
        with self._bucket.explained():
            return whole_versions(self._bucket.list())

    def numbers(self) -> list[int]:
        """Returns every number that something lies under, a version or not."""
        with self._bucket.explained():
            tops = {number(name.partition("/")[0]) for name in self._bucket.list()}
            return sorted(top for top in tops if top is not None)

    def files(self, version: int) -> list[str]:
        """Returns the names of a version's files, relative to it, sorted."""
        with self._bucket.explained():
            return sorted(self._bucket.list(f"{version}/"))

    def open(self, name: str) -> BinaryIO:
        """Reads a file, relative to the model, into memory, its checksum checked on the way."""
        with self._bucket.explained():
            return self._bucket.open(name)

    def read(self, name: str) -> Stored:
        """Reads a small file and its generation."""
        with self._bucket.explained():
            blob = self._bucket.get(name)
            if blob is None:
                return Stored(None, "0")
            try:
                data = self._bucket.download(blob)
            except (NotFound, PreconditionFailed):
                raise Conflict(name) from None  # replaced between the two requests
            return Stored(data, str(blob.generation))

    def replace(self, name: str, data: bytes, generation: str) -> None:
        """Replaces a small file on condition that its generation is still the one given."""
        with self._bucket.explained():
            try:
                self._bucket.write(name, data, int(generation), "application/json")
            except PreconditionFailed:
                raise Conflict(name) from None

    def publish(self, version: int, parts: Mapping[str, Part]) -> None:
        """Uploads the files aside, copies them over, and uploads ``saved_model.pb`` last."""
        rest = {name: part for name, part in parts.items() if name != SERVABLE}
        with self._bucket.explained():
            there = self._bucket.list(f"{version}/")
            if SERVABLE in there or not there.keys() <= rest.keys():
                raise Conflict(str(version))
            for _ in range(ATTEMPTS):
                if self._bring(version, rest):
                    break
            else:
                raise StepError(f"{self.where}/{version}: others keep removing it; try again")
            self._make_visible(version, parts[SERVABLE])
            self._bucket.remove(self._bucket.list(f"{STAGING}/{version}/").values())
            self._expect(version, parts)

    def hold(self, version: int) -> bool:
        """Writes ``saved_model.pb`` anew, so that a removal under way misses it; says if it can."""
        name = f"{version}/{SERVABLE}"
        with self._bucket.explained():
            while True:
                blob = self._bucket.get(name)
                if blob is None:
                    return False
                try:
                    data = self._bucket.download(blob)
                    self._bucket.write(name, data, blob.generation, "application/octet-stream")
                except (NotFound, PreconditionFailed):
                    continue  # removed, or held by somebody else, between the requests
                return True

    def remove(self, version: int, unneeded: Callable[[], bool]) -> bool:
        """Removes a version, first ``saved_model.pb``: without it there is no model to load."""
        with self._bucket.explained():
            found = self._bucket.list(f"{version}/")
            if SERVABLE not in found or not unneeded():
                return False
            self._bucket.remove([found.pop(SERVABLE)])
            if SERVABLE in self._bucket.list(f"{version}/"):
                return False  # it is held: champion, since a moment ago
            self._bucket.remove(found.values())
            return True

    def leftovers(self) -> dict[str, float]:
        """Returns what killed pushes left: staged files and versions without a model."""
        with self._bucket.explained():
            found = self._bucket.list()
            whole = set(whole_versions(found))
            last_writes: dict[str, float] = {}
            for name, blob in found.items():
                first, _, rest = name.partition("/")
                if first == STAGING:
                    first = f"{STAGING}/{rest.partition('/')[0]}"
                elif not rest or number(first) is None or number(first) in whole:
                    continue
                last_writes[first] = max(last_writes.get(first, 0), blob.updated.timestamp())
            return last_writes

    def clear(self, leftover: str, before: float) -> bool:
        """Removes one of those, unless it was written to since or went live; says whether it did.

        A push that goes on copies its files anew, so that none of those found here is part of it.
        """
        with self._bucket.explained():
            found = self._bucket.list(f"{leftover}/")
            recent = any(blob.updated.timestamp() > before for blob in found.values())
            if not found or recent or SERVABLE in found:
                return False
            self._bucket.remove(found.values())
            return True

    def fetch(self, version: int, cache: Path) -> Path:
        """Downloads a version into ``cache`` and returns its directory there."""
        directory = cache / str(version)

        def download(name: str) -> None:
            self._bucket.fetch(f"{version}/{name}", directory / checked_name(name))

        with self._bucket.explained(), ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(download, self._bucket.list(f"{version}/")))
        return directory

    def _bring(self, version: int, parts: Mapping[str, Part]) -> bool:
        """Stages what is not staged yet and copies all of it; returns whether all is there now."""
        staging = f"{STAGING}/{version}/"
        staged = self._bucket.list(staging)
        self._bucket.upload(
            staging,
            {name: part for name, part in parts.items() if not is_part(staged.get(name), part)},
        )
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda name: self._bucket.copy(staging, f"{version}/", name), parts))
        return not self._missing(version, parts)

    def _missing(self, version: int, parts: Mapping[str, Part]) -> list[str]:
        there = self._bucket.list(f"{version}/")
        return [name for name, part in parts.items() if not is_part(there.get(name), part)]

    def _make_visible(self, version: int, part: Part) -> None:
        name = f"{version}/{SERVABLE}"
        try:
            self._bucket.send(name, part, if_generation_match=0)
        except PreconditionFailed:
            # Another attempt was quicker, or this one's answer got lost on the way.
            blob = self._bucket.get(name)
            if not is_part(blob, part):
                raise Conflict(str(version)) from None

    def _expect(self, version: int, parts: Mapping[str, Part]) -> None:
        """Takes a version back whose files somebody removed in the moment it became visible."""
        if missing := self._missing(version, parts):
            servable = self._bucket.list(f"{version}/").get(SERVABLE)
            self._bucket.remove([servable] if servable else [])
            raise StepError(
                f"{self.where}/{version}/{missing[0]}: removed while it was published; push again"
            )
