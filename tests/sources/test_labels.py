"""What a label means: one rule for every form that can hold one, and the names of classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from tests.ingest.conftest import digits, fuzz, read_all
from tests.sources.tables import write_csv, write_idx, write_npz, write_parquet, write_tfrecord

IMAGES, LABELS = digits(60)
HOT = np.eye(10, dtype=np.uint8)[LABELS]

Write = Callable[[Path, npt.NDArray, npt.NDArray], str]
FORMS: tuple[Write, ...] = (write_npz, write_idx, write_parquet, write_tfrecord, write_csv)
by_form = pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__)


@by_form
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(LABELS.astype(np.int32), id="numbers"),
        pytest.param(LABELS.astype(np.float32), id="7.0"),
        pytest.param(HOT, id="one-hot"),
        pytest.param(HOT.astype(np.float64), id="one-hot in floating point"),
    ],
)
def test_a_number_and_a_single_one_among_zeros_are_labels(
    write: Write, labels: npt.NDArray, tmp_path: Path
) -> None:
    _, records = read_all(Ingest(source=write(tmp_path, IMAGES, labels)), tmp_path)
    assert records.labels.tolist() == LABELS.tolist()
    assert np.array_equal(records.images, IMAGES)


@by_form
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.tile([0, 1, 1], (60, 1)), id="two of them"),
        pytest.param(np.tile([0, 0, 0], (60, 1)), id="none of them"),
        pytest.param(np.column_stack([LABELS + 2, LABELS]), id="two numbers"),
        pytest.param(np.full((60, 3), 1 / 3), id="shares"),
        pytest.param(LABELS + 0.5, id="halves"),
        pytest.param(np.column_stack([LABELS + 2, *[np.full(60, 1234)] * 7]), id="as QMNIST's"),
    ],
)
def test_other_numbers_are_not_taken_for_a_label(
    write: Write, labels: npt.NDArray, tmp_path: Path
) -> None:
    source = write(tmp_path, IMAGES, labels)
    _, records = read_all(Ingest(source=source), tmp_path)
    assert not len(records.labels)
    with pytest.raises(StepError, match=r"record 0: .*label.*expected"):
        ingest(Ingest(source=source), tmp_path / "out")


def test_one_record_of_several_labels_is_rejected_by_itself(tmp_path: Path) -> None:
    labels = HOT.copy()
    labels[7, 3] ^= 1
    for write in FORMS:
        (tmp_path / write.__name__).mkdir()
        source = write(tmp_path / write.__name__, IMAGES, labels)
        _, records = read_all(Ingest(source=source), tmp_path)
        assert [record.position for record in records.unreadable] == [7], source
        assert records.unreadable[0].reason.startswith("10 numbers as a label (")


@fuzz
@given(
    labels=st.lists(
        st.lists(st.sampled_from([0, 1, 1.0, 2, -1, 0.5, float("nan")]), min_size=3, max_size=3),
        min_size=2,
        max_size=6,
    ),
    write=st.sampled_from(FORMS),
)
def test_labels_of_three_numbers_are_one_hot_or_rejected(
    labels: list[list[float]], write: Write, tmp_path: Path
) -> None:
    rows = np.array(labels, float)
    _, records = read_all(Ingest(source=write(tmp_path, IMAGES[: len(rows)], rows)), tmp_path)
    one_hot = [n for n, row in enumerate(labels) if sorted(row) == [0, 0, 1]]
    assert records.positions.tolist() == one_hot
    assert records.labels.tolist() == [labels[n].index(1) for n in one_hot]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.list_(pa.bool_(), 10), pa.bool_()])
def test_parquet_of_other_types(kind: pa.DataType, tmp_path: Path) -> None:
    images = pa.array([image.tobytes() for image in IMAGES], pa.binary())
    values = (
        LABELS > 4 if kind == pa.bool_() else HOT == 1 if kind.value_type == pa.bool_() else HOT
    )
    table = pa.table({"image": images, "label": pa.array(values.tolist(), kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    _, records = read_all(Ingest(source=str(tmp_path / "a.parquet")), tmp_path)
    expected = (LABELS > 4) * 1 if kind == pa.bool_() else LABELS
    assert records.labels.tolist() == expected.tolist()


def test_labels_beyond_the_classes_say_what_names_more(tmp_path: Path) -> None:
    for write in FORMS:
        (tmp_path / write.__name__).mkdir()
        source = write(tmp_path / write.__name__, IMAGES, LABELS.astype(int) + 15)
        with pytest.raises(StepError, match="label 15, expected 0 to 9; --class-names names more"):
            ingest(Ingest(source=source), tmp_path / "out")
        ingest(Ingest(source=source, class_names="25"), tmp_path / write.__name__ / "out")


TABLES = {
    "labels and names": "index,codepoint,char\n" + "".join(f"{n},U+{n},c{n}\n" for n in range(10)),
    "names first": "name\tlabel\n" + "".join(f"c{n}\t{n}\n" for n in range(10)),
    "in another order": "label;class\n" + "".join(f"{n};c{n}\n" for n in reversed(range(10))),
    "without a header": "".join(f"{n},c{n}\n" for n in range(10)),
    "quoted": '"label","name"\n' + "".join(f'"{n}","c{n}"\n' for n in range(10)),
    "no labels": "name,description\n" + "".join(f"c{n},a digit\n" for n in range(10)),
    "a list in JSON": str([f"c{n}" for n in range(10)]).replace("'", '"'),
    "JSON by label": str({str(n): f"c{n}" for n in range(10)}).replace("'", '"'),
    "JSON by name": "{" + ",\n".join(f'"c{n}": {n}' for n in range(10)) + "}",
    "a name a line": "".join(f"c{n}\n" for n in range(10)),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_class_names_is_read_as_one(table: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_text(TABLES[table], encoding="utf-8-sig")
    config = Ingest(source=write_npz(tmp_path, IMAGES, LABELS), class_names=str(tmp_path / "names"))
    source, records = read_all(config, tmp_path)
    assert source.class_names == tuple(f"c{n}" for n in range(10))
    assert records.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("label,kanji,kana\n0,a,b\n1,c,d\n", "none of which is called name"),
        ("label,name\n0,a\n0,b\n", "two names for one label"),
        ('{"a": {"b": 1}}', "expected a whole number for each name"),
        ("[1, 2, 3]", "expected a JSON list of names"),
        ("[" * 100_000, "expected a JSON list of names"),
    ],
)
def test_a_table_that_does_not_say_the_names_is_refused(
    table: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "names").write_text(table)
    config = Ingest(source=write_npz(tmp_path, IMAGES, LABELS), class_names=str(tmp_path / "names"))
    with pytest.raises(StepError, match=message):
        read_all(config, tmp_path)


def test_labels_that_do_not_start_at_nothing_are_those_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("".join(f"{n + 1},c{n}\n" for n in range(10)))
    config = Ingest(
        source=write_npz(tmp_path, IMAGES, LABELS + 1), class_names=str(tmp_path / "names")
    )
    source, records = read_all(config, tmp_path)
    assert source.class_names[0] == "c0"
    assert records.labels.tolist() == LABELS.tolist()
