"""One module a command of `rlconf`; `rlconf.cli` gathers them.

A module holds `ABOUT` (a line, without a capital or a full stop), `add_arguments(parser)` and
`run(options) -> exit status`. It imports at its top only what is quick: torch and TRL are loaded
inside `run`, so that `rlconf --help` stays quick.
"""
