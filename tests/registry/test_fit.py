"""A data set beside the champion: what could never take its place is not trained."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.config import Ingest, Push
from components.ingest.component import ingest
from components.registry.fit import check_fits_champion
from components.shared.errors import StepError
from components.shared.manifests import Dataset

DIGITS = list("0123456789")


def test_data_like_the_champions_fits(published: Path, examples: Path) -> None:
    check_fits_champion(str(published), Push.model_name, Dataset.read(examples))


def test_any_data_fits_where_there_is_no_champion(tmp_path: Path, examples: Path) -> None:
    other = Dataset.read(examples).model_copy(update={"image_shape": (5, 7)})
    check_fits_champion(str(tmp_path / "registry"), "digits", other)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"image_shape": (32, 32)}, "images of 28 x 28, the data set has 32 x 32"),
        ({"image_shape": (14, 56)}, "images of 28 x 28, the data set has 14 x 56"),
        ({"class_names": DIGITS[:2]}, "10 classes, the data set has 2"),
        ({"class_names": [*DIGITS[:9], "x"]}, "class 9 is '9', in the data set it is 'x'"),
        ({"class_names": DIGITS[::-1]}, "class 0 is '0', in the data set it is '9'"),
    ],
)
def test_other_data_belongs_under_another_name(
    change: dict[str, Any], problem: str, published: Path, examples: Path
) -> None:
    other = Dataset.read(examples).model_copy(update=change)
    with pytest.raises(StepError) as error:
        check_fits_champion(str(published), Push.model_name, other)
    assert str(error.value) == (
        f"version 1 of digits is the champion, for {problem}; publish this model under another "
        "--model-name"
    )


@pytest.mark.parametrize("no_champion", [False, True])
def test_ingest_says_so_in_the_pipeline_before_anything_is_trained(
    no_champion: bool, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {
        name: SimpleNamespace(path=str(tmp_path / name), metadata={})
        for name in ("examples", "statistics")
    }
    given = {**Ingest(source="fake://60?shape=9x9").__dict__, "no_champion": no_champion}
    place = {"destination": str(published), "model_name": Push.model_name}
    if no_champion:
        ingest.python_func(**outputs, **given, **place)
    else:
        with pytest.raises(SystemExit):
            ingest.python_func(**outputs, **given, **place)
        assert "images of 28 x 28, the data set has 9 x 9" in capsys.readouterr().err
