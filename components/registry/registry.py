"""A registry: numbered versions of a model, and which of them is the champion.

Source of the layout: TensorFlow Serving, which loads the highest number under a model's directory.
"""

import time
from collections.abc import Callable
from pathlib import Path

from components.registry.contents import Champion
from components.registry.storage import number
from components.registry.swap import read, swap
from components.registry.versions import ForeignVersionError, Release, Versions
from components.shared.errors import StepError

__all__ = ["ForeignVersionError", "Registry", "Release", "champion_saved_model"]


class Registry(Versions):
    """The versions of one model and the champion among them.

    Every method raises a :class:`StepError` where the storage does not do what it is asked.
    """

    def champion(self) -> Champion | None:
        """Returns which version is in use, None where none was promoted yet.

        It may be one that is not there, where somebody removed it by hand: see :meth:`in_use`.
        """
        return read(self.storage, Champion)

    def in_use(self) -> int | None:
        """Returns the champion's version, None where none was promoted yet.

        Raises:
            StepError: The champion is not there.
        """
        champion = self.champion()
        if champion is None:
            return None
        if champion.version not in (versions := self.versions()):
            found = ", ".join(map(str, versions)) or "none"
            raise StepError(
                f"{self.where}/{Champion.FILE}: names version {champion.version}, which is not "
                f"there; roll back, or promote one of: {found}"
            )
        return champion.version

    def advance(self, version: int) -> Champion:
        """Makes a version the champion unless a later one has been champion already.

        So neither the slower of two pushes nor a retried one undoes a promotion or a rollback. A
        later one that is not there does not count.
        """

        def change(champion: Champion | None) -> Champion:
            there, last = self.versions(), self._last()
            if champion is None:
                return Champion(version=version, highest=version)
            behind = version not in there or version <= champion.ever(last)
            if behind and champion.version in there:
                return champion
            return champion.followed_by(version, last)

        self._expect(version)
        return self._held(swap(self.storage, Champion, change))

    def promote(self, version: int) -> Champion:
        """Makes a version the champion, whichever was before."""

        def change(champion: Champion | None) -> Champion:
            self._expect(version)
            if champion is None:
                return Champion(version=version, highest=version)
            return champion.followed_by(version, self._last())

        return self._held(swap(self.storage, Champion, change))

    def rollback(self, dry_run: bool = False) -> Champion:
        """Makes the last champion before this one that is still published the champion again."""

        def change(champion: Champion | None) -> Champion:
            there = self.versions()
            before = champion and champion.rolled_back(there, self._last())
            if before is None:
                found = ", ".join(map(str, there)) or "none"
                raise StepError(
                    f"{self.where}: no earlier champion to go back to; promote one of: {found}"
                )
            return before

        if dry_run:
            return change(self.champion())
        return self._held(swap(self.storage, Champion, change))

    def removable(self, keep: int, grace: float) -> tuple[list[int], list[str]]:
        """Returns what a prune would remove: versions, and leftovers of killed pushes.

        Args:
            keep: Versions kept, the newest ones; the champion is kept besides.
            grace: Seconds since the last write for which leftovers may be those of a push that
                still runs.
        """
        champion = self.in_use()
        old = self.versions()[:-keep] if champion else []
        before, last = time.time() - grace, self._last()
        leftovers = self.storage.leftovers()
        return [version for version in old if version != champion], [
            name
            for name, written in leftovers.items()
            # A number beyond all that were given out is somebody else's.
            if written <= before and (number(name) or 0) <= last
        ]

    def remove(
        self, versions: list[int], leftovers: list[str], grace: float = 0
    ) -> tuple[list[int], list[str]]:
        """Removes what :meth:`removable` named, but for what has changed since.

        A version that was promoted meanwhile stays, and so does a leftover that a push took up.

        Returns:
            What was removed of each.

        Raises:
            StepError: One could not be removed; says which were.
        """
        removed: list[int] = []
        cleared: list[str] = []
        before = time.time() - grace
        if versions and self.champion() is None:
            raise StepError(f"{self.where}: no champion yet; promote a version first")
        try:
            removed.extend(v for v in versions if self.storage.remove(v, self._unneeded(v)))
            cleared.extend(name for name in leftovers if self.storage.clear(name, before))
        except StepError as error:
            told = ", ".join([*map(str, removed), *cleared]) or "nothing"
            raise StepError(f"{error} (removed before that: {told})") from None
        finally:
            self._forget(versions)
        return removed, cleared

    def _unneeded(self, version: int) -> Callable[[], bool]:
        """Returns what tells, when it is called, whether a version is not the champion."""

        def unneeded() -> bool:
            champion = self.champion()
            return champion is not None and champion.version != version

        return unneeded

    def _forget(self, versions: list[int]) -> None:
        """Gives up the claims on those versions that are gone."""
        gone = set(versions).difference(self.versions()) if versions else set()
        if gone:
            self._give_up(gone)

    def _held(self, champion: Champion) -> Champion:
        """Returns the champion once no removal that is under way can take it.

        Raises:
            StepError: One was quicker; the champion before is in use again.
        """
        if self.storage.hold(champion.version):
            return champion

        def change(current: Champion | None) -> Champion:
            before = current and current.rolled_back(self.versions(), self._last())
            return before if current == champion and before else current or champion

        now = swap(self.storage, Champion, change).version
        raise StepError(
            f"{self.where}/{champion.version}: was removed meanwhile; the champion is {now}"
        )


def champion_saved_model(destination: str, model_name: str, cache: Path) -> Path | None:
    """Returns a local directory with the champion's SavedModel, None where there is no champion.

    Args:
        destination: The registry: a directory, or a ``gs://`` address.
        model_name: The model's name in it.
        cache: An empty directory for what has to be downloaded.

    Raises:
        StepError: The registry cannot be read, or names a champion that it does not have.
    """
    registry = Registry.open(destination, model_name)
    version = registry.in_use()
    return registry.fetch(version, cache) if version else None
