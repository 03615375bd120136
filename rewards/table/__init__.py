"""Answers to questions about tables: where they stand in a text, and who says that they are right.

`reply` finds an answer, `profiles` compares it with the gold answer by the rules of one benchmark,
`composite` makes three rewards of both. The rules themselves are one module each: `star` and
`strict` (the method's), `wtq`, `hitab`, `finqa`, `tabmwp`, `tabfact` (the official evaluators').
"""

from rewards.table.finqa import ProgramError, run_program
from rewards.table.profiles import PROFILES, Judgement, judge
from rewards.table.reply import Item, Reply, read_gold, read_reply, write_reply

# Registers table_format, table_partial and table_exact.
from rewards.table import composite  # isort: skip

__all__ = [
    "PROFILES",
    "Item",
    "Judgement",
    "ProgramError",
    "Reply",
    "composite",
    "judge",
    "read_gold",
    "read_reply",
    "run_program",
    "write_reply",
]
