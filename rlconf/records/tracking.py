"""Send what `metrics.jsonl` holds to the chosen trackers too, under the same names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlconf.redact import redact
from rlconf.runs.session import Session
from rlconf.settings.schema import Config, to_dict
from trainers.rollout import Rollout

__all__ = ["Trackers", "chosen", "shown_config"]


def chosen(config: Config) -> list[str]:
    """The names of the trackers that are switched on, in a fixed order."""
    from rlconf.records.trackers import TRACKERS

    return [name for name in TRACKERS if getattr(config.tracking, name)]


class Trackers:
    """All trackers of a session; none until `open` is called, as on every process but the first.

    Args:
        config: of the run.
        session: the present one. A tracker that cannot take back what an earlier session sent is
            spared the steps that it has.
    """

    def __init__(self, config: Config, session: Session) -> None:
        self.config = config
        self.session = session
        self._open: list[Any] = []
        self._rollout: Rollout | None = None

    def open(self, arguments: Any) -> None:
        """Start the chosen trackers.

        Args:
            arguments: TRL's, with their defaults.

        Raises:
            ConfigError: one cannot start.
        """
        from rlconf.records.trackers import TRACKERS, Tracked

        folder = self.session.folder
        run = Tracked(
            section=self.config.tracking,
            folder=folder,
            name=self.config.tracking.run_name or f"{self.config.name}-{folder.path.name}",
            run_id=self.session.tracking_id,
            config=shown_config(self.config, arguments),
        )
        for name in chosen(self.config):
            self._open.append(TRACKERS[name](run, self.session.step))

    def keep(self, rollout: Rollout) -> None:
        """Remember the latest rollout batch (an `on_rollout` listener)."""
        if self._open:
            self._rollout = rollout

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row of `metrics.jsonl`; numbers that it has as null are left out."""
        step = row["step"]
        numbers = {
            name: value
            for name, value in row.items()
            if name not in ("step", "time") and value is not None
        }
        rollout, self._rollout = self._rollout, None
        for tracker in self._open:
            if tracker.rewinds or step > self.session.logged:
                tracker.log(step, numbers, rollout)

    def totals(self, totals: Mapping[str, float | None], evaluations: Mapping[str, Any]) -> None:
        """Send numbers about the run as a whole: the trainer's totals, the headline accuracies.

        Args:
            totals: by name.
            evaluations: results of `rlconf.evaluation.evaluate.measure` by name.
        """
        numbers = {name: value for name, value in totals.items() if value is not None}
        for name, result in evaluations.items():
            for kind in ("sampled", "greedy"):
                if (accuracy := (result.get(kind) or {}).get("accuracy")) is not None:
                    numbers[f"evaluation/{name}/{kind}_accuracy"] = accuracy["value"]
        for tracker in self._open:
            tracker.totals(numbers)

    def close(self, exit_code: int) -> None:
        """End the session with every tracker."""
        while self._open:
            self._open.pop().close(exit_code)


def shown_config(config: Config, arguments: Any) -> dict[str, Any]:
    """The configuration as trackers show it: resolved, as plain JSON data, without secrets.

    Args:
        config: its sections stand at the top.
        arguments: TRL's with all their defaults; under `arguments`.
    """
    plain = {**to_dict(config), "arguments": arguments.to_dict()}
    shown: dict[str, Any] = redact(json.loads(json.dumps(plain, default=str)))
    return shown
