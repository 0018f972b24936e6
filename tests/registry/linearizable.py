"""Whether what several processes saw of a registry could have come of them one after another.

Source: Wing and Gong, Testing and Verifying Concurrent Objects, 1993; what was tried is remembered,
as by Lowe. What a registry does one operation at a time is written down here a second time, without
a look at how it is done.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Operation(NamedTuple):
    """What a process did, and what came of it."""

    kind: str  # publish, advance, promote, rollback, remove, read or list; back: see Registry
    argument: int | str = 0  # a version, or the run that publishes
    result: object = None
    began: float = 0.0
    ended: float = math.inf  # a killed process never saw the end
    happened: bool = True  # or else it may have, and its result is not known


REFUSED = "refused"  # a result: there is no such version, or no champion before


class State(NamedTuple):
    """A registry between two operations."""

    champion: int | None = None
    previous: tuple[int, ...] = ()  # the last one first
    highest: int = 0  # that was ever champion
    versions: frozenset[tuple[int, str]] = frozenset()  # with the runs that published them
    used: frozenset[int] = frozenset()  # numbers, each once

    def has(self, version: object) -> bool:
        return any(number == version for number, _ in self.versions)

    def promoted(self, version: int) -> "State":
        if version == self.champion:
            return self
        before = () if self.champion is None else (self.champion, *self.previous)
        highest = max(version, self.highest)
        return self._replace(champion=version, previous=before, highest=highest)

    def rolled_back(self) -> "State | None":
        there = [version for version in self.previous if self.has(version)]
        return self._replace(champion=there[0], previous=tuple(there[1:])) if there else None


def after(state: State, done: Operation, numbers: frozenset[int]) -> Iterator[State]:
    """Yields what may be after an operation with its result; nothing where it cannot have been.

    Args:
        state: What was before.
        done: The operation.
        numbers: Every version of the history: which one a killed push published is not known.
    """
    version = done.argument if isinstance(done.argument, int) else 0
    known = done.happened
    if done.kind == "publish":
        own = [number for number, run in state.versions if run == done.argument]
        if own:  # a run publishes once
            yield from [state] if not known or own == [done.result] else []
        for number in () if own else numbers - state.used:
            if not known or number == done.result:
                versions = state.versions | {(number, str(done.argument))}
                yield state._replace(versions=versions, used=state.used | {number})
    elif done.kind == "advance":
        stays = state.champion is not None and version <= state.highest
        moved = state if stays else state.promoted(version)
        if not known or (state.has(version) and moved.champion == done.result):
            yield moved
        elif done.result == REFUSED and not state.has(version):
            yield state
    elif done.kind == "promote":
        if not known or (done.result == version and state.has(version)):
            yield state.promoted(version)
        elif done.result == REFUSED and not state.has(version):
            yield state
    elif done.kind == "rollback":
        moved_back = state.rolled_back()
        if not known:  # to what may have been removed by then
            for place, number in enumerate(state.previous):
                yield state._replace(champion=number, previous=state.previous[place + 1 :])
        elif done.result == REFUSED:
            yield from [] if moved_back else [state]
        elif moved_back and moved_back.champion == done.result:
            yield moved_back
    elif done.kind == "back":  # whoever promotes what is removed meanwhile puts it right
        if state.champion is not None and not state.has(state.champion):
            yield from filter(None, [state.rolled_back()])
    elif done.kind == "remove":
        if not state.has(version):  # of two at once, both say so
            yield state
        elif state.champion not in (None, version):
            left = frozenset(each for each in state.versions if each[0] != version)
            yield state._replace(versions=left)
    elif done.kind == "read":
        yield from [state] if state.champion == done.result else []
    else:
        assert done.kind == "list"
        yield from [state] if state.versions == done.result else []


def coalesces(done: Operation, state: State, before: Sequence[Operation]) -> bool:
    """Whether a rollback may be one with another change that it met: both wanted the same.

    In a bucket a process whose answer was lost cannot tell its write from another's equal one.
    """
    return (
        done.kind == "rollback"
        and state.champion == done.result
        and any(
            other.kind == "rollback" and other.result in (done.result, None)
            for other in before
            if other.began <= done.ended and done.began <= other.ended
        )
    )


def explain(history: Sequence[Operation], first: State) -> list[Operation] | None:
    """Returns an order in which all could have happened, each while it was under way, or None."""
    values = {value for done in history for value in (done.argument, done.result)}
    listed = {number for done in history if done.kind == "list" for number, _ in listing(done)}
    numbers = frozenset(value for value in values if isinstance(value, int)) | listed
    tried = set()

    def search(left: frozenset[int], state: State) -> list[Operation] | None:
        if not any(history[index].happened for index in left):
            return []
        if (left, state) in tried:
            return None
        tried.add((left, state))
        latest = max((d.began for i, d in enumerate(history) if i not in left), default=0.0)
        deadline = min(history[index].ended for index in left if history[index].happened)
        for index in sorted(left, key=lambda index: history[index].began):
            done = history[index]
            if done.began > deadline or done.ended < latest:
                continue
            successors = [*after(state, done, numbers)]
            if coalesces(done, state, [each for i, each in enumerate(history) if i not in left]):
                successors.append(state)
            for state_after in successors:
                rest = search(left - {index}, state_after)
                if rest is not None:
                    return [done, *rest]
        return None

    return search(frozenset(range(len(history))), first)


def listing(done: Operation) -> frozenset[tuple[int, str]]:
    """Returns the versions that a list found, with the runs that published them."""
    assert isinstance(done.result, frozenset)
    return done.result
