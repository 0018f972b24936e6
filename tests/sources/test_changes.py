"""A source that changes while it is read, or that is not whole, is never read as if nothing was."""

import base64
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.forms import FORMS
from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.sources.filesystem import open_directory
from components.sources.open_source import open_source
from components.sources.source import Source
from tests.ingest.conftest import digits, fuzz, png, read_all

IMAGES, LABELS = digits(40)
# Of packed files, the unpacked copy is read; what it was made of may change then.
READ_IN_PLACE = [name for name in FORMS if name not in ("idx", "npz", "days")] + ["plain idx"]


def written(form: str, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    if form == "plain idx":
        from tests.sources.tables import write_idx

        return Path(write_idx(directory, IMAGES, LABELS))
    FORMS[form](directory, IMAGES, LABELS)
    return directory


def opened(source: Path, tmp_path: Path) -> Source:
    (tmp_path / "work").mkdir(exist_ok=True)
    return open_source(Ingest(source=str(source)), open_directory(str(tmp_path / "work")))


def in_place(path: Path) -> None:
    """As who writes over it; one byte differs, and the size does not."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def by_rename(path: Path) -> None:
    """As who puts another file there with the same size and the same time."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(512))


@pytest.mark.parametrize("form", READ_IN_PLACE)
@pytest.mark.parametrize("change", [in_place, by_rename, longer, Path.unlink])
def test_a_file_that_is_replaced_is_not_read(
    form: str, change: Callable[[Path], None], tmp_path: Path
) -> None:
    path = written(form, tmp_path / "in")
    source = opened(path, tmp_path)
    for file in sorted(path.rglob("*")):
        if file.is_file():
            change(file)
    (part, *_) = source.ranges(50)
    with pytest.raises(
        StepError, match=rf"{tmp_path}.*(it changed while it was read|no such file)"
    ):
        source.read(part)


def test_ingest_refuses_what_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.jobs import ranges

    path = written("parquet-pixels", tmp_path / "in")
    cut = ranges.Plan.of

    def changed(*given: object) -> ranges.Plan:
        plan = cut(*given)  # type: ignore[arg-type]
        in_place(path / "all.parquet")
        return plan

    monkeypatch.setattr(ranges.Plan, "of", changed)
    with pytest.raises(StepError, match=r"all\.parquet: it changed while it was read; run again"):
        ingest(Ingest(source=str(path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pattern", ["", "/*/*.png", "/**/*"])
def test_links_to_nothing_are_refused(pattern: str, tmp_path: Path) -> None:
    for number, image in enumerate(IMAGES):
        folder = tmp_path / "in" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        if number % 3:
            (folder / f"here{number}.png").write_bytes(png(image))
        else:
            (folder / f"{number}.png").symlink_to(f"../../.git/annex/objects/{number}")
    with pytest.raises(StepError, match=r"a link to nothing, one of 14 here; fetch what it names"):
        ingest(Ingest(source=f"{tmp_path}/in{pattern}"), tmp_path / "out")
    ingest(Ingest(source=f"{tmp_path}/in/*/here*.png"), tmp_path / "out")


def test_a_folder_that_is_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    written("pictures", tmp_path / "in")
    (tmp_path / "in" / "10").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StepError, match=r"in/10: a link to nothing"):
        ingest(Ingest(source=str(tmp_path / "in")), tmp_path / "out")


def test_links_to_files_are_read_through(tmp_path: Path) -> None:
    written("pictures", tmp_path / "there")
    (tmp_path / "in").symlink_to(tmp_path / "there")
    _, records = read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
    assert len(records.images) == 40


def tarred(path: Path, kind: int = tarfile.GNU_FORMAT) -> list[int]:
    """Writes the images as a tar; returns where the header of each stands."""
    with tarfile.open(path, "w", format=kind) as packed:
        for number, image in enumerate(IMAGES):
            info = tarfile.TarInfo(f"{'ab'[number % 2]}/{number}.png")
            info.size = len(png(image))
            packed.addfile(info, io.BytesIO(png(image)))
    with tarfile.open(path) as packed:
        return [member.offset for member in packed.getmembers()]


@fuzz
@given(
    member=st.integers(0, len(IMAGES) - 1),
    place=st.integers(0, 511),
    length=st.sampled_from([1, 8, 512]),
    kind=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]),
)
def test_a_tar_with_a_damaged_header_is_whole_or_refused(
    member: int, place: int, length: int, kind: int, tmp_path: Path
) -> None:
    offset = tarred(tmp_path / "a.tar", kind)[member]
    content = bytearray((tmp_path / "a.tar").read_bytes())
    place = 0 if length == 512 else place
    content[offset + place : offset + place + length] = bytes(length)
    (tmp_path / "a.tar").write_bytes(content)
    try:
        _, records = read_all(Ingest(source=str(tmp_path / "a.tar")), tmp_path)
    except StepError as error:
        assert "a.tar" in str(error)
    else:
        assert len(records.images) + len(records.unreadable) >= len(IMAGES)


@pytest.mark.parametrize("blocks", [1, 20, 30])
def test_a_tar_that_is_cut_short_is_refused(blocks: int, tmp_path: Path) -> None:
    offsets = tarred(tmp_path / "a.tar")
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content[: offsets[blocks]])
    with pytest.raises(StepError, match=r"a.tar: damaged tar"):
        ingest(Ingest(source=str(tmp_path / "a.tar")), tmp_path / "out")


def test_tars_put_together_are_refused(tmp_path: Path) -> None:
    tarred(tmp_path / "a.tar")
    (tmp_path / "b.tar").write_bytes((tmp_path / "a.tar").read_bytes() * 2)
    with pytest.raises(StepError, match=r"b.tar: damaged tar .*more behind it"):
        ingest(Ingest(source=str(tmp_path / "b.tar")), tmp_path / "out")


def test_a_zip_with_names_as_on_windows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for number, image in enumerate(IMAGES):
            packed.writestr("x", png(image))
            info = packed.infolist()[-1]
            info.filename = f"{'ab'[number % 2]}\\{number}.png"
    # Names of one length in both places of the archive, as those tools write them.
    source, records = read_all(Ingest(source=str(tmp_path / "a.zip")), tmp_path)
    assert source.class_names == ("a", "b")
    assert len(records.images) == 40


class Kms(pe.KmsClient):
    """Wraps keys in nothing."""

    def __init__(self, _: object) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)

    def unwrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64decode(key)


@pytest.mark.parametrize("columns", [["image"], ["label"], ["image", "label"]])
@pytest.mark.parametrize("plain", [True, False])
def test_encrypted_columns_are_refused(columns: list[str], plain: bool, tmp_path: Path) -> None:
    factory = pe.CryptoFactory(Kms)
    settings = pe.EncryptionConfiguration("a", column_keys={"b": columns}, plaintext_footer=plain)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), settings)
    images = pa.array([image.tobytes() for image in IMAGES])
    table = pa.table({"image": images, "label": pa.array(LABELS)})
    with pq.ParquetWriter(
        tmp_path / "a.parquet", table.schema, encryption_properties=properties
    ) as writer:
        writer.write_table(table)
    with pytest.raises(StepError, match=r"a.parquet: .*(encrypt|Parquet)"):
        ingest(Ingest(source=str(tmp_path / "a.parquet")), tmp_path / "out")


@pytest.mark.parametrize("names", [["image", "image", "label"], ["image", "label", "label"]])
def test_two_columns_of_one_name_are_refused(names: list[str], tmp_path: Path) -> None:
    images = pa.array([image.tobytes() for image in IMAGES])
    columns = [images if name == "image" else pa.array(LABELS) for name in names]
    pq.write_table(pa.Table.from_arrays(columns, names=names), tmp_path / "a.parquet")
    with pytest.raises(StepError, match=r"a.parquet: 2 columns (image|label), expected one"):
        ingest(Ingest(source=str(tmp_path / "a.parquet")), tmp_path / "out")


def test_json_that_is_nested_deep_names_nothing(tmp_path: Path) -> None:
    deep = b"[" * 200_000
    images = pa.array([image.tobytes() for image in IMAGES])
    table = pa.table({"image": images, "label": pa.array(LABELS)})
    table = table.replace_schema_metadata({"huggingface": deep})
    pq.write_table(table, tmp_path / "a.parquet")
    source, _ = read_all(Ingest(source=str(tmp_path / "a.parquet")), tmp_path)
    assert source.class_names == tuple("0123456789")
    written("tfrecord", tmp_path / "in")
    (tmp_path / "in" / "dataset.json").write_bytes(deep)
    _, records = read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
    assert np.array_equal(records.labels, LABELS)
