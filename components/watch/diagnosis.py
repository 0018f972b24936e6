"""What probably happened where there is an alarm, and what to do about it."""

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from components.config import Watch
from components.shared.causes import AS_IT_CAME, BLANK, COPIES, NEVER_SEEN
from components.shared.command_line import argument
from components.shared.environment import IN_CLUSTER
from components.shared.predictions import Advice, Diagnosis, DriftFigure, Predictions, Reference
from components.shared.profile import Profile
from components.watch.figures import PRECISION, figures

# Causes that images are left out for: the share of them from which, and up to which, it is one.
# Were it most of the images that look like none of training's, anything could be the cause.
SHARES = {BLANK: (0.02, 1.0), COPIES: (0.05, 1.0), NEVER_SEEN: (0.02, 0.5)}
ALONE = 0.9  # share of the answers from which on a class is alone
PARTLY = 0.3  # of the distance is left at most where a cause explains it in part
ONE_CLASS = "one class alone"
MISTAKES = "images and answers look as they did, but more of the answers are wrong"
LABELLED = "LABELLED"  # stands in a command for a place that only its reader knows


def diagnose(
    config: Watch,
    found: Predictions,
    reference: Reference,
    moved: Sequence[DriftFigure] = (),
    labels: str = "",
) -> Diagnosis:
    """Says what probably happened, and what to do.

    Args:
        config: The bounds of the rules.
        found: What came in, also after each cause was undone for some of the images.
        reference: What the model was trained on.
        moved: The figures of the alarm.
        labels: Where labels came from later; empty: none did.
    """
    if {figure.name for figure in moved if figure.too_far} == {PRECISION}:
        cause, sentence = "", MISTAKES
    else:
        cause, sentence = find_cause(config, found.profile, found.undone, reference)
    trainable = cause in ("", NEVER_SEEN)
    return Diagnosis(
        cause=cause,
        sentence=sentence,
        trainable=trainable,
        advice=_to_train(found, reference, labels) if trainable else _to_mend(cause, found),
    )


def find_cause(
    config: Watch, profile: Profile, undone: Mapping[str, Profile], reference: Reference
) -> tuple[str, str]:
    """Returns the cause after whose undoing images are like those of training, and a line on it.

    The cause is empty where nothing simple explains the alarm.

    Args:
        config: The bounds of the rules.
        profile: What came in.
        undone: Some of it, after each cause was undone.
        reference: What the model was trained on.
    """
    came = undone.get(AS_IT_CAME)
    if not came or not came.images:
        return "", "nothing is known of the cause: the images were predicted by an earlier release"
    before = figures(config, came, reference)
    nothing = "", "nothing simple explains it"
    if not _broken(before):
        return nothing
    tried: dict[str, Sequence[DriftFigure]] = {}
    left_out = {cause: 1 - rest.images / came.images for cause, rest in undone.items()}
    for cause, rest in undone.items():
        least, most = SHARES.get(cause, (0.0, 1.0))
        if cause != AS_IT_CAME and least <= left_out[cause] <= most:
            tried[cause] = figures(config, rest, reference) if rest.images else []
    explained = [cause for cause in tried if not _broken(tried[cause])]
    # Blank images are also copies of one, and whatever is wrong with some looks like no class.
    whole = [cause for cause in tried if cause not in SHARES]
    for group in ([BLANK], whole, [COPIES]):
        if causes := [cause for cause in explained if cause in group]:
            best = min(causes, key=lambda cause: _distance(tried[cause]))
            return _named(best, left_out, f"all {len(before)} rules hold")
    if alone := _one_class(profile, before, reference.class_names):
        return alone
    # Some of a class never seen are taken for one of the classes: its share may stay too large.
    known = tried.get(NEVER_SEEN)
    if known and _broken(_but_classes(before)) and not _broken(_but_classes(known)):
        return _named(NEVER_SEEN, left_out, _held(known))
    # What stays where images are left out may be like training's for being few.
    if whole:
        best = min(whole, key=lambda cause: _distance(tried[cause]))
        if _distance(tried[best]) <= PARTLY * _distance(before):
            return _named(best, left_out, _held(tried[best]))
    return nothing


def _broken(figures: Sequence[DriftFigure]) -> int:
    return sum(figure.too_far for figure in figures)


def _but_classes(figures: Sequence[DriftFigure]) -> list[DriftFigure]:
    return [figure for figure in figures if figure.name != "max_class_change"]


def _held(figures: Sequence[DriftFigure]) -> str:
    held = len(figures) - _broken(figures)
    return f"{'all' if held == len(figures) else f'{held} of'} {len(figures)} rules hold"


def _distance(figures: Sequence[DriftFigure]) -> float:
    """How far figures lie from the training split's, in their bounds."""
    return sum(figure.value / max(figure.bound, 1e-9) for figure in figures)


def _one_class(
    profile: Profile, before: Sequence[DriftFigure], names: Sequence[str]
) -> tuple[str, str] | None:
    """Whether all images are taken for one class, and look like those of training."""
    shares = profile.class_shares
    strange = {figure.name for figure in before if figure.value > 10 * figure.bound}
    if max(shares) < ALONE or strange & {"max_unusual", "max_low_confidence"}:
        return None
    name = names[shares.index(max(shares))]
    return ONE_CLASS, f"probably {ONE_CLASS}: {max(shares):.1%} of the answers are {name!r}"


def _named(cause: str, left_out: Mapping[str, float], holds: str) -> tuple[str, str]:
    """The cause and its line; ``holds`` says which rules do, once it is undone."""
    name = cause.partition(" (")[0]
    if cause not in SHARES:
        return name, f"probably {name}: with that undone, {holds}"
    return name, f"probably {name}, {left_out[cause]:.1%} of all: without these, {holds}"


def _to_mend(cause: str, found: Predictions) -> list[Advice]:
    look = "look at the first images that came in, on the page"
    if cause == ONE_CLASS:
        look += "; where one class alone is what was to come, nothing is wrong"
    return [
        Advice(text=look),
        Advice(
            text="mend what sends them, which no training does, and run the same images again",
            command=command("predict", {**_read(found), **found.options}),
        ),
        HOLD,
    ]


def _to_train(found: Predictions, reference: Reference, labels: str) -> list[Advice]:
    put = f"put labels to them as {LABELLED}, in the form of the data trained on, and train on both"
    if labels:
        put = "and their labels are right, train on the old data and on these"
    return [
        Advice(text="look at the first images that came in, and at the least sure, on the page"),
        Advice(
            text=f"if they are what is to come from now on, {put} together",
            command=retrain(found, reference, labels or LABELLED),
        ),
        HOLD,
    ]


HOLD = Advice(
    text="until then, hold these predictions back: what reads them waits for drift.json to be "
    "quiet, as in docs/predict.md"
)


def _read(found: Predictions) -> dict[str, Any]:
    return {
        "source": found.source,
        "destination": found.registry,
        "model_name": found.model_name,
    }


def retrain(found: Predictions, reference: Reference, labels: str = LABELLED) -> str:
    """Returns the command that trains the same model anew, with all that its training was given.

    It trains on the old data and on such as came in, with labels.
    """
    source = f"{reference.source},{labels}"
    return command("local", reference.training(source, found.registry, found.model_name))


def command(target: str, given: Mapping[str, Any]) -> str:
    """Returns the command that runs a pipeline, where this process runs: here, or on a cluster.

    Args:
        target: ``local`` for training, or ``predict``.
        given: The pipeline's parameters.
    """
    if os.environ.get(IN_CLUSTER):
        options = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
        chosen = ["--pipeline", target] if target == "predict" else []
        return shlex.join(["python", "-m", "pipeline", "submit", *chosen, *options])
    # A dollar is make's own before it is the shell's.
    switches = [argument(name, value) for name, value in given.items() if isinstance(value, bool)]
    values = {name: str(value) for name, value in given.items() if not isinstance(value, bool)}
    values |= {"args": " ".join(switches)} if switches else {}
    words = [
        f"{name.upper()}={shlex.quote(text.replace('$', '$$'))}" for name, text in values.items()
    ]
    return " ".join(["make", target, *words])
