"""Curves of a run as PNG files, drawn from ``metrics.jsonl`` alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.difficulty import BANDS
from rlconf.records.metrics_file import read_metrics, series


@dataclass(frozen=True)
class Line:
    """One curve: a metric, its legend, and the metrics of the band around it, if any."""

    metric: str
    label: str
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True)
class Panel:
    """One picture: file stem, title, label of the vertical axis, its curves, its limits.

    Where a curve has a band, `band` says between what. With `beside`, it is drawn only where that
    metric was logged too.
    """

    stem: str
    title: str
    axis: str
    lines: tuple[Line, ...]
    limits: tuple[float, float] | None = None
    band: str = ""
    beside: str | None = None

    @property
    def axis_with_band(self) -> str:
        """The label of the axis, with what the band is."""
        return f"{self.axis} (mean; band: {self.band})" if self.band else self.axis


TOKEN_ACCURACY = "mean_token_accuracy"
SHARE = (-0.02, 1.02)  # an axis from 0 to 1 whose ends stay visible
PANELS = (
    Panel("reward", "Reward", "mean reward of a completion", (Line("reward", "reward"),)),
    Panel(
        "accuracy",
        "Sampled accuracy on training prompts",
        "share of right completions",
        (Line("accuracy", "accuracy"),),
        SHARE,
    ),
    Panel("entropy", "Policy entropy", "nats per token", (Line("entropy", "entropy"),)),
    Panel(
        "length",
        "Completion length",
        "tokens",
        (
            Line(
                "completions/mean_length",
                "length",
                "completions/min_length",
                "completions/max_length",
            ),
        ),
        band="shortest to longest",
    ),
    Panel(
        "zero_variance",
        "Groups without a learning signal",
        "share of prompts with equal rewards",
        (Line("frac_reward_zero_std", "equal rewards"),),
        SHARE,
    ),
    Panel(
        "ucas_weight",
        "UCAS: weight of a completion, by sign of its advantage",
        "weight",
        tuple(
            Line(
                f"ucas/weight_{sign}/mean",
                label,
                f"ucas/weight_{sign}/min",
                f"ucas/weight_{sign}/max",
            )
            for sign, label in (("pos", "advantage > 0"), ("neg", "advantage < 0"))
        ),
        band="least to greatest",
    ),
    Panel(
        "curriculum",
        "Curriculum: what is asked",
        "share",
        (
            Line("curriculum/pass_rate", "right"),
            Line("curriculum/kept_share", "kept by the filter"),
            Line("curriculum/mean_rate", "smoothed rate of all seen"),
        ),
        SHARE,
    ),
    Panel(
        "curriculum_bands",
        "Curriculum: questions by band",
        "questions",
        tuple(Line(f"curriculum/band/{band}", band) for band in BANDS),
    ),
    Panel(
        "curriculum_stage",
        "Curriculum: stage",
        "1 easy, 2 hard",
        (Line("curriculum/stage", "stage"),),
        (0.9, 2.1),
    ),
    # Of supervised training only: a loss of GRPO's says nothing.
    Panel("loss", "Loss", "nats per token", (Line("loss", "loss"),), beside=TOKEN_ACCURACY),
    Panel(
        "token_accuracy",
        "Tokens of the demonstrations that the model would choose",
        "share of tokens",
        (Line(TOKEN_ACCURACY, "tokens"),),
        SHARE,
    ),
)


def draw(metrics: Path, folder: Path) -> list[Path]:
    """Draw every panel that the metrics hold numbers for, and ``overview.png`` with all of them.

    Args:
        metrics: a run's ``metrics.jsonl``.
        folder: where to write; made if need be.

    Returns:
        The files written, none if there is nothing to draw.
    """
    rows = read_metrics(metrics)
    panels = [
        panel
        for panel in PANELS
        if any(series(rows, line.metric)[0] for line in panel.lines)
        and (panel.beside is None or series(rows, panel.beside)[0])
    ]
    if not panels:
        return []
    from matplotlib.figure import Figure  # here: half a second that no other command should pay

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for panel in panels:
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        _draw_panel(figure.add_subplot(), panel, rows)
        written.append(folder / f"{panel.stem}.png")
        figure.savefig(written[-1], dpi=120)
    columns = min(3, len(panels))
    height = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.1 * height), layout="constrained")
    for place, panel in enumerate(panels, start=1):
        _draw_panel(figure.add_subplot(height, columns, place), panel, rows)
    written.append(folder / "overview.png")
    figure.savefig(written[-1], dpi=120)
    return written


def _draw_panel(axes: Any, panel: Panel, rows: list[dict[str, Any]]) -> None:
    """Draw one panel's curves, each with its band where the rows hold both ends of it."""
    for line in panel.lines:
        steps, values = series(rows, line.metric)
        if not steps:
            continue
        (curve,) = axes.plot(steps, values, label=line.label, linewidth=1.4)
        if line.low and line.high:
            ends = [(row["step"], row[line.low], row[line.high]) for row in rows if _has(row, line)]
            if ends:
                axes.fill_between(*zip(*ends, strict=True), alpha=0.15, color=curve.get_color())
    if panel.limits:
        axes.set_ylim(*panel.limits)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("optimiser step", fontsize=8)
    axes.set_ylabel(panel.axis_with_band, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    if len(panel.lines) > 1:
        axes.legend(fontsize=8, frameon=False)


def _has(row: dict[str, Any], line: Line) -> bool:
    return all(row.get(name) is not None for name in (line.metric, line.low, line.high) if name)
