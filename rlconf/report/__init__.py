"""One self-contained HTML page about one run or several.

    from rlconf.report import write_report
    write_report([Path("runs/quickstart/a"), Path("runs/quickstart/b")], Path("report.html"))

It reads what a run folder holds and draws what it finds, whatever trainer wrote it: `load` reads,
`series` prepares curves, `figures` draws, `samples` chooses completions, `page` puts it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["write_report"]


def write_report(runs: Sequence[Path], path: Path) -> Path:
    """Write the report on the runs to `path`.

    Args:
        runs: run folders, or folders of run folders, in the order in which they are to be shown.
        path: the HTML file.

    Returns:
        `path`.

    Raises:
        ConfigError: a folder holds no run.
    """
    from rlconf.files import write_text
    from rlconf.report import load, page

    found = [load.load(folder) for folder in load.find(runs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page.render(found))
    return path
