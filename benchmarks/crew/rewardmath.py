"""RewardMATH's published scores through our figures: do they give the published accuracies?

    git clone https://github.com/kimsh0507/RewardMATH_official
    python benchmarks/crew/rewardmath.py RewardMATH_official/results/RewardMATH

The expected ones are those of CRew's Table 1 (arXiv 2510.13501), in per cent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from data.solutions.ranking import Question, within

PUBLISHED = {
    "internlm2": 37.27,
    "internlm2_20b": 33.95,
    "grm_llama3": 24.43,
    "skywork_llama3": 22.15,
    "ArmoRM": 20.50,
    "Eurus-RM": 16.98,
    "beaver": 7.25,
    "oasst-rm": 7.04,
    "grm_gemma": 4.97,
}
RIGHT = "human_to_GPT-4"


def questions(path: Path) -> list[Question]:
    """The scores of the right and of the wrong solutions of each problem."""
    found = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        pairs = list(zip(row["score"], row["solution_reference"], strict=True))
        found.append(
            Question(
                tuple(score for score, writer in pairs if writer == RIGHT),
                tuple(score for score, writer in pairs if writer != RIGHT),
            )
        )
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    rows = {
        name: {"published": published, **within(questions(folder / f"{name}_reward.json"))}
        for name, published in PUBLISHED.items()
    }
    for name, row in rows.items():
        ours = 100 * row["strict"]["value"]
        print(f"{name:15} published {row['published']:5.2f}  ours {ours:5.2f}")
        assert round(ours, 2) == row["published"], name
    written = json.dumps(rows, indent=1) + "\n"
    (Path(__file__).parent / "rewardmath.json").write_text(written, encoding="utf-8")
