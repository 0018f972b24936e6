"""What is taken for what: the parts of the report's confusion matrix."""

from dataclasses import dataclass

from components.shared.evaluation import SplitEvaluation

TABLE = 20  # classes at most whose matrix is a table of counts; that of more is a picture
PAIRS = 12  # listed, the most frequent first
CELL = 11  # user units of the picture, as all that follows
LETTER = 5.6  # width of a letter of a name
NAME = 18  # letters of a name at most that the picture has room for


@dataclass(frozen=True)
class Cell:
    """How often a class was taken for another, or for itself."""

    label: str
    predicted: str
    count: int
    share: float  # of the label's examples
    row: int
    column: int


@dataclass(frozen=True)
class Picture:
    """A matrix of many classes: a square for each cell that is not empty."""

    names: list[str]  # of the classes, cut where they are long
    cells: list[Cell]
    margin: float  # left of the matrix and above it, for the names
    cell: int = CELL

    @property
    def size(self) -> float:
        """Width and height."""
        return self.margin + CELL * len(self.names)


def cells(split: SplitEvaluation) -> list[Cell]:
    """Lists the cells of a confusion matrix that are not empty, row by row."""
    names = [one.name for one in split.classes]
    return [
        Cell(names[row], names[column], count, count / split.classes[row].examples, row, column)
        for row, counts in enumerate(split.confusion)
        for column, count in enumerate(counts)
        if count
    ]


def most_confused(split: SplitEvaluation) -> list[Cell]:
    """Lists the mistakes made most often."""
    mistakes = [cell for cell in cells(split) if cell.row != cell.column]
    return sorted(mistakes, key=lambda cell: -cell.count)[:PAIRS]


def picture(split: SplitEvaluation) -> Picture | None:
    """Lays out the matrix of many classes; None where a table of counts is as clear."""
    if len(split.classes) <= TABLE:
        return None
    names = [
        one.name if len(one.name) <= NAME else f"{one.name[: NAME - 1]}…" for one in split.classes
    ]
    return Picture(names, cells(split), margin=10 + LETTER * max(map(len, names)))
