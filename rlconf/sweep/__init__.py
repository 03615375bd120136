"""One command, many runs: `rlconf train -m KEY=A,B 'KEY=range(N)'`.

`expand` turns the command line into jobs, `plan` composes and checks them all and decides on the
folder, `processes` runs each in a process of its own, `table` puts what they measured side by side,
and `run` is the whole of it, from the command line to an exit status. `slurm` hands the jobs to
Slurm instead, and `standing` says from the folder how far a sweep has come.
"""
