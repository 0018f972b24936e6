"""The page of a search, drawn from studies that are made up."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from components.config import Tune
from components.shared.manifests import Dataset
from components.tune import report
from components.tune.study import REASON
from tests.browser import Browser, open_browser

CONFIG = Tune(search="learning_rate=0.01..0.1:log hidden=64,32|128,32", max_steps=800)
SPACE = {
    "learning_rate": FloatDistribution(0.01, 0.1, log=True),
    "hidden": CategoricalDistribution(("64,32", "128,32")),
}

Page = Callable[..., str]


def trial(
    rate: float, hidden: str, value: float | None, step: int = 800, state: str = "COMPLETE"
) -> optuna.trial.FrozenTrial:
    failed = state == "FAIL"
    return create_trial(
        params={"learning_rate": rate, "hidden": hidden},
        distributions=SPACE,
        value=value,
        intermediate_values={} if value is None else {step: value},
        state=TrialState[state],
        user_attrs={REASON: "the loss is <nan> at step 100"} if failed else {},
    )


DEFAULT = trial(0.05, "128,32", 0.981)
BEST = trial(0.07, "64,32", 0.987)
OTHERS = [
    trial(0.02, "64,32", 0.953, step=100, state="PRUNED"),
    trial(0.015, "128,32", 0.951, step=100, state="PRUNED"),
    trial(0.09, "128,32", 0.979, step=400, state="PRUNED"),
    trial(0.099, "64,32", None, state="FAIL"),
]


@pytest.fixture
def page(examples: Path, tmp_path: Path) -> Page:
    """Draws the page of a study with these trials."""

    def draw(*trials: optuna.trial.FrozenTrial) -> str:
        study = optuna.create_study(direction="maximize")
        study.add_trials(trials)
        path = tmp_path / report.FILE
        report.write(path, CONFIG, study, Dataset.read(examples), "Best of them")
        return path.read_text(encoding="utf-8")

    return draw


def test_it_says_what_is_best_beside_trains_own_settings(page: Page) -> None:
    drawn = page(DEFAULT, BEST, *OTHERS)
    assert '<b id="headline">0.9870</b>' in drawn and ">0.9810</b>" in drawn
    command = "python -m pipeline local --hidden=64,32 --max-steps=800 --learning-rate=0.07"
    assert f'<code id="command">{command}</code>' in drawn
    assert "Better than train&#39;s own settings" in drawn or "Better than train's own" in drawn


def test_where_nothing_is_better_it_says_so(page: Page) -> None:
    assert "Nothing better found" in page(DEFAULT, trial(0.06, "64,32", 0.98))


def test_every_trial_is_in_the_table_with_its_end(page: Page) -> None:
    drawn = page(DEFAULT, BEST, *OTHERS)
    table = drawn[drawn.index('<table id="trials">') :]
    rows = re.findall(
        r'<tr><th scope="row">(\d+)</th>.*?<td class="text[^"]*">(.*?)</td></tr>', table
    )
    assert [int(number) for number, _ in rows] == [1, 0, 4, 2, 3, 5]  # the best first
    ends = dict(rows)
    assert ends["1"] == "complete, the best"
    assert ends["2"] == "pruned"
    assert ends["5"] == "failed: the loss is &lt;nan&gt; at step 100"
    counted = " ".join(re.sub("<.*?>", "", drawn).split())
    assert "2 trained to the end, 3 pruned, 1 failed. At step 100: 2, at 400: 1." in counted


def test_every_parameter_has_its_chart_and_each_trial_a_dot_in_it(page: Page) -> None:
    drawn = page(DEFAULT, BEST, *OTHERS)
    charts = re.findall(r"<svg.*?</svg>", drawn, re.DOTALL)
    assert len(charts) == 3  # over time, and two parameters
    for chart in charts:
        assert chart.count('class="pruned"') == 3 and chart.count('class="best"') == 1
        assert chart.count("<circle") == 5
    assert ">64,32</text>" in charts[2] and ">128,32</text>" in charts[2]


def test_a_search_of_one_trial_has_a_page(page: Page) -> None:
    assert "Too few trials came to their end to say." in page(BEST)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [1280, 360])
def test_it_fits_the_window_and_asks_for_nothing(
    page: Page, tmp_path: Path, browser: Browser, width: int
) -> None:
    page(DEFAULT, BEST, *OTHERS)
    browser.emulate(width)
    address = (tmp_path / report.FILE).as_uri()
    browser.driver.get(address)
    wide = "return document.documentElement.scrollWidth"
    assert browser.driver.execute_script(wide) <= width
    assert browser.requests() == [address] and browser.console() == []
