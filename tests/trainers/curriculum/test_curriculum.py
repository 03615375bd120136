"""The curriculum without a trainer: plans, stages, bands, exhaustion, state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from datasets import Dataset

from rewards.errors import CheckpointError, ConfigError
from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.state import load_state, save_state

G = 8
RATES = {f"q{i}": i / 11 for i in range(12)}  # q7 to q11 are easy at 0.6


def rows(count: int = 12, copies: int = 1, **columns: Any) -> Dataset:
    ids = [f"q{i % count}" for i in range(count * copies)]
    return Dataset.from_dict({"id": ids, "prompt": ids, **columns})


def make(
    rates: dict[str, float] | None = RATES, data: Dataset | None = None, **settings: Any
) -> Curriculum:
    batches = settings.pop("batches", 10)
    curriculum = Curriculum(CurriculumSettings(**settings), rates)
    curriculum.bind(data or rows(), prompts=4, batches=batches, seed=0)
    return curriculum


def show(curriculum: Curriculum, **right: int) -> Any:
    """One generation batch in which each question has so many right completions of G."""
    ids = [one for one in right for _ in range(G)]
    scores = [float(i < count) for count in right.values() for i in range(G)]
    return curriculum.observe(1, ids, torch.tensor(scores), G)


def planned(curriculum: Curriculum, number: int) -> list[str]:
    return [curriculum.rows.ids[row] for row in curriculum.plan_for(number)]


def test_easy_questions_come_first_and_each_once_before_one_comes_again() -> None:
    curriculum = make(round_batches=5)
    seen = planned(curriculum, 0)
    easy = {f"q{i}" for i in range(7, 12)}
    assert len(seen) == 20
    assert {one: seen.count(one) for one in set(seen)} == dict.fromkeys(easy, 4)
    batches = [seen[i : i + 4] for i in range(0, 20, 4)]
    assert all(len(set(batch)) == 4 for batch in batches)
    one_batch = make()
    first, second = planned(one_batch, 0), planned(one_batch, 1)
    assert set(first) | set(second) == easy  # five in two batches of four


def test_asking_again_gives_the_same_plan_and_another_seed_another() -> None:
    curriculum, other = make(), make()
    assert curriculum.plan_for(0) == curriculum.plan_for(0) == other.plan_for(0)
    show(curriculum, q7=8)
    assert curriculum.plan_for(0) == other.plan_for(0)
    third = Curriculum(CurriculumSettings(), RATES)
    third.bind(rows(), prompts=4, batches=10, seed=1)
    assert third.plan_for(0) != other.plan_for(0)


def test_the_hard_stage_begins_when_a_round_was_right_often_enough() -> None:
    curriculum = make(promote_at=0.75)
    planned(curriculum, 0)
    show(curriculum, q7=8, q8=3)  # 11/16
    planned(curriculum, 1)
    assert curriculum.stage == "easy"
    show(curriculum, q9=8, q10=4)  # 12/16
    hard = planned(curriculum, 2)
    assert curriculum.stage == "hard"
    assert set(hard) <= {f"q{i}" for i in range(7)}
    show(curriculum, q0=0, q1=0)
    planned(curriculum, 3)
    assert curriculum.stage == "hard"


def test_the_hard_stage_begins_at_the_latest_after_its_rounds() -> None:
    curriculum = make(stage_rounds=2)
    stages = []
    for number in range(4):
        planned(curriculum, number)
        stages.append(curriculum.stage)
        show(curriculum, q8=0)
    assert stages == ["easy", "easy", "hard", "hard"]


def test_a_fixed_stage_stays() -> None:
    curriculum = make(stage="easy", promote_at=0.0, stage_rounds=1)
    for number in range(3):
        planned(curriculum, number)
        show(curriculum, q8=8)
    assert curriculum.stage == "easy"


def test_the_filter_of_the_hard_stage() -> None:
    curriculum = make(stage="hard")
    seen = show(curriculum, q0=8, q1=7, q2=6, q3=0)
    assert seen.actions == ["mastered", "review", "active", "active"]
    assert seen.active == [False, False, True, True]
    assert seen.metrics["curriculum/kept_share"] == 0.5
    later = [one for number in range(6) for one in planned(curriculum, number)]
    assert "q0" not in later
    assert "q1" in later  # put off, not left out


def test_nothing_is_filtered_in_the_easy_stage_or_where_it_is_off() -> None:
    assert show(make(stage="easy"), q8=8).active == [True]
    assert show(make(stage="hard", filter=False), q0=8).active == [True]


def test_copies_of_a_question_in_a_batch_are_one_look() -> None:
    curriculum = make(stage="hard")
    ids = ["q0"] * (2 * G)
    seen = curriculum.observe(1, ids, torch.tensor([1.0] * G + [0.0] * G), G)
    assert seen.actions == ["active", "active"]
    assert curriculum.history == [(1, curriculum.questions.index("q0"), 8, 16, 0)]


def test_completions_that_were_not_scored_do_not_count() -> None:
    curriculum = make(stage="hard")
    nan = float("nan")
    seen = curriculum.observe(1, ["q0"] * G, torch.tensor([1.0] * 4 + [nan] * 4), G)
    assert seen.actions == ["mastered"]
    seen = curriculum.observe(2, ["q1"] * G, torch.tensor([nan] * G), G)
    assert (seen.actions, seen.rates, seen.bands) == (["active"], [None], ["unseen"])
    assert "curriculum/pass_rate" not in seen.metrics


def test_mastered_is_for_good_unless_it_is_asked_again() -> None:
    curriculum = make(stage="hard")
    show(curriculum, q0=8)
    assert show(curriculum, q0=0).actions == ["mastered"]


def test_a_batch_is_filled_from_outside_the_stage_when_too_few_are_left() -> None:
    curriculum = make(stage="hard")
    show(curriculum, **{f"q{i}": 8 for i in range(6)})
    seen = planned(curriculum, 0)
    assert "q6" in seen
    assert set(seen) - {"q6"} <= {f"q{i}" for i in range(7, 12)}  # mastered ones come last
    assert not curriculum.exhausted


def test_when_all_is_mastered_it_is_exhausted_or_begins_again() -> None:
    everything = {f"q{i}": 8 for i in range(7)}
    curriculum = make(stage="hard")
    show(curriculum, **everything)
    assert curriculum.exhausted
    assert len(planned(curriculum, 0)) == 4  # a batch that is under way still gets its prompts
    again = make(stage="hard", on_exhausted="again")
    show(again, **everything)
    assert not again.exhausted
    assert set(planned(again, 0)) <= set(everything)


def test_mastered_questions_are_asked_again_and_come_back_if_they_fail() -> None:
    curriculum = make(stage="hard", recheck_every=2, recheck_share=0.25)
    planned(curriculum, 0)
    show(curriculum, q0=8)
    assert "q0" not in planned(curriculum, 1)
    assert "q0" in planned(curriculum, 2)
    show(curriculum, q0=3)
    assert "q0" in [one for number in (3, 4) for one in planned(curriculum, number)]


def test_online_bands_follow_what_is_seen() -> None:
    curriculum = make(rates=None, mode="online", decay=0.5, filter=False)
    assert set(curriculum.tracker.questions.elements()) == {"unseen"}
    seen = show(curriculum, q0=0, q1=2, q2=5, q3=8)
    assert seen.bands == ["hard_zero", "medium", "easy", "easy"]  # 1/10, 3/10, 6/10, 9/10
    assert curriculum.tracker.questions == {"unseen": 8, "hard_zero": 1, "medium": 1, "easy": 2}
    show(curriculum, q1=8)
    assert curriculum.tracker.band("q1") == "easy"
    for _ in range(3):
        show(curriculum, q1=0)
    assert curriculum.tracker.band("q1") == "hard"


def test_patience_waits_for_looks_that_agree() -> None:
    curriculum = make(rates=None, mode="online", decay=0.0, patience=2, filter=False)
    bands = []
    for right in (0, 8, 0, 8, 8):
        show(curriculum, q0=right)
        bands.append(curriculum.tracker.band("q0"))
    assert bands == ["hard_zero", "hard_zero", "hard_zero", "hard_zero", "easy"]


def test_online_mixture_is_met_where_there_is_enough() -> None:
    mixture = {"medium": 0.5, "hard_zero": 0.5}
    curriculum = make(rates=None, mode="online", mixture=mixture, filter=False)
    show(curriculum, q0=0, q1=0, q2=3, q3=3, q4=8, q5=8)
    assert sorted(planned(curriculum, 0)) == ["q0", "q1", "q2", "q3"]


def test_questions_of_a_level_share_their_rate() -> None:
    data = rows(level=[i // 4 for i in range(12)])
    curriculum = make(rates=None, data=data, mode="online", by="level", filter=False)
    seen = show(curriculum, q0=8, q1=0, q4=0)
    assert seen.rates == [pytest.approx(9 / 18), pytest.approx(9 / 18), pytest.approx(1 / 10)]
    assert curriculum.tracker.band("2") == "unseen"
    assert curriculum.tracker.questions["medium"] == 4


def test_measured_rates_are_a_first_guess_online() -> None:
    curriculum = make(mode="online", filter=False)
    assert curriculum.tracker.band("q0") == "hard_zero"
    assert curriculum.tracker.band("q11") == "easy"


def test_easy_to_hard_goes_through_the_rows_once() -> None:
    curriculum = make(mode="easy_to_hard", batches=3)
    order = [planned(curriculum, number) for number in range(3)]
    assert order[0] == ["q11", "q10", "q9", "q8"]
    assert order[2] == ["q3", "q2", "q1", "q0"]
    by_level = make(rates=None, data=rows(level=[*range(12)]), mode="easy_to_hard", batches=3)
    assert planned(by_level, 0) == ["q0", "q1", "q2", "q3"]


def test_state_goes_through_a_file_and_the_plan_is_not_drawn_anew(tmp_path) -> None:
    first = make(stage="hard", round_batches=2)
    first.plan_for(0)
    show(first, q0=8, q1=7, q2=1)
    save_state(tmp_path, "part", {"curriculum": first.state_dict()})
    second = make(stage="hard", round_batches=2)
    second.load_state_dict(load_state(tmp_path, "part")["curriculum"])
    assert second.digest() == first.digest()
    assert second.plan_for(0) == first.plan_for(0)
    show(first, q3=8)
    show(second, q3=8)
    assert second.plan_for(1) == first.plan_for(1)
    assert second.history == first.history
    assert second.digest() == first.digest() != make(stage="hard").digest()


def test_a_state_of_other_questions_or_rates_is_refused() -> None:
    state = make().state_dict()
    with pytest.raises(CheckpointError, match="same questions, pass rates"):
        make(rates={one: 1 - rate for one, rate in RATES.items()}).load_state_dict(state)
    with pytest.raises(CheckpointError, match=r"mode two_stage and now it is online"):
        make(mode="online").load_state_dict(state)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": Dataset.from_dict({"prompt": ["a"] * 4})}, "by the column 'id'"),
        ({"by": "topic"}, r"curriculum\.by=topic: .* only id, prompt"),
        ({"rates": None}, r"give curriculum\.path, a file of rlconf difficulty"),
        ({"rates": {"q0": 0.5}}, r"lack 11 of 12 questions, such as q1, q10, q11, q2, q3"),
        ({"rates": dict.fromkeys(RATES, 0.2)}, r"no question is easy .* from 0\.2 to 0\.2"),
        ({"stage": "hard", "threshold": 0.0}, "no question is hard"),
        ({"rates": None, "mode": "easy_to_hard"}, "or a column 'level'"),
        (
            {"data": rows(3), "mode": "online"},
            "3 training rows for .* of 4 prompts",
        ),
    ],
)
def test_what_does_not_fit_is_said(changes, text) -> None:
    with pytest.raises(ConfigError, match=text):
        make(**changes)


def test_a_missing_rate_in_a_hundred_counts_as_hard_and_is_said(caplog) -> None:
    rates = {f"q{i}": 1.0 for i in range(99)}
    curriculum = make(rates=rates, data=rows(100), threshold=0.5)
    assert curriculum.rows.stages["hard"] == {"q99"}
    assert "1 of 100 questions have no pass rate" in caplog.text


def test_groups_that_do_not_lie_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not come in groups of 8"):
        make().observe(1, ["q0"] * 7 + ["q1"], torch.zeros(8), G)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"edges": (0.5, 0.4, 0.9)}, "three rising numbers"),
        ({"upper": 0.999}, "lower < upper <= persist"),
        ({"lower": 0.9}, "lower < upper <= persist"),
        ({"decay": 1.5}, "decay=1.5"),
        ({"round_batches": 0}, "round_batches=0"),
        ({"check_every": -1}, "check_every=-1"),
        ({"mixture": {"mild": 1.0}}, r"mixture\.mild"),
        ({"mixture": {"mastered": 1.0}}, r"mixture\.mastered"),
        ({"mixture": {"hard": 0.0}}, "one of them above 0"),
        ({"mode": "online", "stage": "easy"}, "stages are two_stage's"),
    ],
)
def test_settings_are_checked(settings, text) -> None:
    with pytest.raises(ValueError, match=text):
        CurriculumSettings(**settings)
