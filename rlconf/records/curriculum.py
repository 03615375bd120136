"""What a curriculum has seen of each question, as a Parquet file and as a picture."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.solutions.store import whole_or_not_at_all
from trainers.curriculum import Curriculum
from trainers.curriculum.observed import ACTIONS

__all__ = ["draw_history", "write_history"]

MOST_QUESTIONS = 400  # lines of the picture
_TITLE = "Right share of each question, in the generation batches that asked it"


def write_history(path: Path, curriculum: Curriculum) -> None:
    """Write one row for each time a question was asked, in the order of time.

    Columns: generation, question_id, right and scored (completions), action (of the filter), key
    (what its pass rate is kept under: `curriculum.by`).
    """
    log = curriculum.history
    questions = [curriculum.questions[place] for _, place, *_ in log]
    table = pa.table(
        {
            "generation": pa.array([one[0] for one in log], pa.int64()),
            "question_id": pa.array(questions, pa.string()),
            "right": pa.array([one[2] for one in log], pa.int32()),
            "scored": pa.array([one[3] for one in log], pa.int32()),
            "action": pa.array([ACTIONS[one[4]] for one in log], pa.string()),
            "key": pa.array([curriculum.rows.keys[one] for one in questions], pa.string()),
        }
    )
    with whole_or_not_at_all(path) as draft:
        pq.write_table(table, draft)


def draw_history(folder: Path, picture: Path) -> Path | None:
    """Draw when each question was asked and how often it was answered right.

    A line a question, those that were easiest at first sight at the top; of many, evenly chosen
    ones.

    Args:
        folder: of the files that `write_history` wrote.
        picture: the PNG to write.

    Returns:
        The picture, None if no question was asked.
    """
    rows = [
        row
        for path in sorted(folder.glob("stage*.parquet"))
        for row in pq.read_table(path).to_pylist()
        if row["scored"]
    ]
    if not rows:
        return None
    from matplotlib.figure import Figure  # here: half a second that no other command should pay

    first: dict[str, float] = {}
    for row in rows:
        first.setdefault(row["question_id"], row["right"] / row["scored"])
    order = sorted(first, key=lambda question: (-first[question], question))
    step = -(-len(order) // MOST_QUESTIONS)
    line = {question: place for place, question in enumerate(order[::step])}
    shown = [row for row in rows if row["question_id"] in line]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    points = axes.scatter(
        [row["generation"] for row in shown],
        [line[row["question_id"]] for row in shown],
        c=[row["right"] / row["scored"] for row in shown],
        vmin=0,
        vmax=1,
        cmap="viridis",
        marker="s",
        s=9,
    )
    axes.invert_yaxis()
    axes.set_title(_TITLE, fontsize=10)
    axes.set_xlabel("generation batch", fontsize=8)
    chosen = "" if step == 1 else f", every {step}th"
    axes.set_ylabel(f"questions, the easiest at first sight at the top{chosen}", fontsize=8)
    axes.tick_params(labelsize=8)
    figure.colorbar(points, label="share of right completions")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=120)
    return picture
