"""`rlconf train -m`: from the command line to an exit status."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rlconf.console import Reporter
from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder, claim
from rlconf.sweep import plan as planning
from rlconf.sweep import table
from rlconf.sweep.expand import Job
from rlconf.sweep.plan import Plan
from rlconf.sweep.processes import Command, Ended, Signals, command, environment, last_line, run_all
from rlconf.sweep.table import FAILED, FINISHED, STOPPED, WAITING, Result

__all__ = ["error_of", "finish", "finished", "line", "run_jobs", "sweep"]

REPORT = "report.html"


def sweep(arguments: Sequence[str], at_once: int = 1, resume: bool = False) -> int:
    """Run every job of a sweep and put their results side by side.

    Args:
        arguments: overrides, some of them with several values.
        at_once: how many jobs may run at a time.
        resume: go on with the same sweep: finished jobs are left alone, others resume.

    Returns:
        0 if every job has finished, 1 if one failed, 128 + signal if the sweep was stopped.

    Raises:
        RlconfError: a job's configuration is wrong, or the folder is taken; nothing has started.
    """
    planning.refuse_ranks(os.environ)
    plan = planning.prepare(arguments)
    folder, notes = planning.choose_folder(plan, resume)
    with claim(RunFolder(folder)):
        planning.write(folder, plan)
        reporter = Reporter()
        with reporter.logged_to(folder / "sweep.log"):
            for note in (f"sweep folder: {folder}", *notes):
                reporter.say(note)
            return _run(plan, folder, at_once, resume, reporter)


def _run(plan: Plan, folder: Path, at_once: int, resume: bool, reporter: Reporter) -> int:
    results = {job.name: Result(job, WAITING, {}) for job in plan.jobs}
    for job, done in zip(plan.jobs, planning.finished(folder, plan), strict=True):
        if done:
            results[job.name] = finished(job, folder)
    todo = [job for job in plan.jobs if results[job.name].status == WAITING]
    reporter.say(f"{len(todo)} of {len(plan.jobs)} jobs to run, {at_once} at a time")
    with Signals() as signals, _bar(reporter, len(todo)) as bar:

        def ended(result: Result, one: Ended) -> None:
            results[result.job.name] = result
            count = sum(result.status != WAITING for result in results.values())
            reporter.say(f"[{count}/{len(results)}] {line(result, one)}")
            if bar is not None:
                bar.advance(bar.task_ids[0])

        processes = [config.launch.processes or 1 for config in plan.configs]
        jobs = [pair for pair in zip(plan.jobs, processes, strict=True) if pair[0] in todo]
        run_jobs(jobs, folder, at_once, resume, ended, signals)
    finish(list(results.values()), folder, reporter)
    if signals.seen:
        name = signal.Signals(signals.seen).name
        reporter.say(f"{name}: stopped. To go on: {_again(plan, folder, at_once)}")
        return 128 + signals.seen
    return int(any(one.status != FINISHED for one in results.values()))


def run_jobs(
    jobs: Sequence[tuple[Job, int]],
    folder: Path,
    at_once: int,
    resume: bool,
    ended: Callable[[Result, Ended], None],
    signals: Signals,
) -> None:
    """Run jobs, each in a process of its own (or several), and say how each ended.

    Args:
        jobs: each with its number of processes.
        folder: of the sweep; run folders and logs stand in it.
        at_once: how many jobs may run at a time.
        resume: go on with runs that are there already.
        ended: called for each job as it ends.
        signals: what this process was sent.
    """
    by_name = {job.name: job for job, _ in jobs}
    most = max((processes for _, processes in jobs), default=1)

    def told(one: Ended) -> None:
        stopped = bool(signals.seen) and one.code != 0
        ended(_result(by_name[one.command.name], folder, one, stopped), one)

    run_all(
        [_command(job, folder, processes, resume) for job, processes in jobs],
        at_once,
        lambda place: environment(place, at_once, most, os.environ, _cores(), _gpus()),
        told,
        signals,
    )


def _command(job: Job, folder: Path, processes: int, resume: bool) -> Command:
    """The job as a command; its run folder and its log stand in the sweep's folder."""
    own = planning.own_overrides(job, folder)
    if resume:
        own.append("resume=auto")
    arguments = command([*job.overrides, *own], processes)
    return Command(job.name, arguments, folder / f"{job.name}.log")


def finished(job: Job, folder: Path) -> Result:
    """The result of a finished job. One that cannot be read must not end the others."""
    try:
        return Result(job, FINISHED, table.figures(RunFolder(folder / job.name)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return Result(job, FINISHED, {}, f"its numbers cannot be read: {error!r}")


def _result(job: Job, folder: Path, ended: Ended, stopped: bool) -> Result:
    if ended.code == 0:
        return finished(job, folder)
    if stopped:
        return Result(job, STOPPED, {})
    reason = _error(RunFolder(folder / job.name), ended) or last_line(ended.command.log)
    return Result(job, FAILED, {}, reason)


def _error(run: RunFolder, ended: Ended) -> str:
    """The error that the run itself recorded, in a line; "" if it did not come so far this time."""
    path = run.manifest
    if not path.is_file() or path.stat().st_mtime < time.time() - ended.seconds - 1:
        return ""
    return error_of(run)


def error_of(run: RunFolder) -> str:
    """The error of a run's last session, in a line; "" if it recorded none."""
    sessions = manifest.read(run.manifest).get("sessions") or [{}]
    return str(sessions[-1].get("error", "")).strip().replace("\n", " ")


def line(result: Result, ended: Ended) -> str:
    """What happened to a job, in a line."""
    name = result.job.label or result.job.name
    if result.status == FINISHED:
        shown = [key for key in ("accuracy", "train reward") if key in result.figures]
        numbers = "".join(f"{key} {result.figures[key]:.3f}, " for key in shown)
        return f"{name}: {numbers}{ended.seconds:.0f} s"
    said = f"{name}: {result.status} after {ended.seconds:.0f} s"
    if result.status == STOPPED:
        return said
    return f"{said} (exit status {ended.code}): {result.reason} ({ended.command.log})"


def finish(results: list[Result], folder: Path, reporter: Reporter) -> None:
    """Write the tables and the report, and name what did not finish."""
    table.write(folder, f"Sweep {folder.parent.name}/{folder.name}", results)
    finished = [one for one in results if one.status == FINISHED]
    if finished:
        reporter.say(table.on_screen(results))
    for status in (FAILED, FINISHED):
        told = [one for one in results if one.status == status and one.reason]
        if told:
            reporter.say(f"{len(told)} of {len(results)} jobs {status}:")
        for one in told:
            reporter.say(f"  {one.job.name}: {one.reason}")
    reporter.say(f"everything is in {folder}")
    if finished:
        _report([folder / one.job.name for one in finished], folder / REPORT, reporter)


def _report(runs: list[Path], path: Path, reporter: Reporter) -> None:
    """One report on all runs. The sweep is over: a report that fails must not hide its results."""
    try:
        from rlconf.report import write_report

        reporter.say(f"report: {write_report(runs, path)}")
    except Exception as error:
        reporter.say(f"the report could not be written ({type(error).__name__}: {error})")


def _again(plan: Plan, folder: Path, at_once: int) -> str:
    """The command that goes on with the sweep."""
    named = any(text.lstrip("+").startswith(("run.dir=", "run.id=")) for text in plan.arguments)
    own = [] if named else [f"run.dir={planning.quoted(str(folder))}"]
    options = ["-m", "--resume", *(["--jobs", str(at_once)] if at_once > 1 else [])]
    return shlex.join(["rlconf", "train", *options, *plan.arguments, *own])


def _cores() -> int:
    """Those that this process may use, where the system says so."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _bar(reporter: Reporter, total: int) -> Progress | nullcontext[None]:
    """A bar for somebody who watches; the lines of finished jobs appear above it."""
    if not reporter.interactive:
        return nullcontext()
    columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=reporter.console)
    bar.add_task("", total=total)
    return bar
