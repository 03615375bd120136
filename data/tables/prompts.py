"""The prompt of a question about a table, and the row of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewards.table.reply import Form, Item, write_reply

__all__ = ["INSTRUCTIONS", "Prompter", "instruction_of"]

INSTRUCTIONS: dict[str, str] = {
    "json": (
        "Answer the question from the table. Think step by step between <think> and </think>. Then "
        "give the answer between <answer> and </answer>, as JSON in a code block, always a list:\n"
        "<think>...</think>\n<answer>\n"
        '```json\n{"answer": ["first item", "second item"]}\n```\n</answer>'
    ),
    "plain": "Answer the question from the table with the answer alone, | between several items.",
}
"""What asks for the form; the paper's own words are not public."""


def instruction_of(form: Form, given: str | None) -> str:
    """The user's words, or those of the form."""
    return INSTRUCTIONS[form] if given is None else given


@dataclass(frozen=True)
class Prompter:
    """Puts questions into prompts.

    Attributes:
        form: Of the answer.
        template: With {table} and {question} in it.
        instruction: In front, or the system message of a chat.
        chat: Chat messages instead of text.
    """

    form: Form
    template: str
    instruction: str
    chat: bool

    def prompt(self, table: str, question: str) -> str | list[dict[str, str]]:
        """The prompt: text that ends with a line end, or messages."""
        # One after the other, from the last: a table may hold the word {question}.
        head, found, tail = self.template.rpartition("{question}")
        if "{table}" in head:
            asked = head.replace("{table}", table) + question + tail
        else:
            asked = head + question + tail.replace("{table}", table)
        assert found
        if not self.chat:
            return f"{self.instruction}\n\n{asked}\n" if self.instruction else f"{asked}\n"
        system = [{"role": "system", "content": self.instruction}] if self.instruction else []
        return [*system, {"role": "user", "content": asked}]

    def answer(self, gold: Sequence[Item]) -> str:
        """The gold answer as a text: the JSON list, or the items alone."""
        if self.form == "plain":
            return write_reply(gold, form="plain")
        return json.dumps(list(gold), ensure_ascii=False)

    def gold_columns(self, gold: Sequence[Item], steps: Sequence[str] = ()) -> dict[str, Any]:
        """What a row says of its answer: `answer`, `gold`, `form`, and a demonstration if it can.

        A demonstration writes the steps out as thinking.
        """
        columns: dict[str, Any] = {
            "answer": self.answer(gold),
            "gold": json.dumps(list(gold), ensure_ascii=False),
            "form": self.form,
        }
        if steps:
            columns["demonstration"] = write_reply(gold, " ".join(steps), self.form)
        return columns
