"""A certificate's content put into sections: what is said first, and in which words. Both renderings set these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrations_app.services.certificate import sections_of_decisions as decided
from migrations_app.services.certificate import sections_of_the_run as ran
from migrations_app.services.certificate.layout_parts import Section, Table, many
from migrations_app.services.words import in_words


@dataclass(frozen=True)
class Layout:
    title: str
    answer: str
    good: bool  # whether the answer is what was hoped for when the run began
    summary: str
    sections: tuple[Section, ...]


def lay_out(content: Mapping[str, Any]) -> Layout:
    """The certificate as it is read, from the top."""
    name = content["application"]["title"] or content["application"]["name"]
    done = content["outcome"] == "completed"
    return Layout(
        title=f"Certificate of run {content['run']['number']}",
        answer=f"{name} runs on PostgreSQL" if done else f"{name} was taken back to SQLite",
        good=done,
        summary=_summary(content, done),
        sections=tuple(
            section
            for section in (
                ran.what(content),
                ran.down(content),
                ran.freeze(content),
                ran.verified(content),
                ran.not_compared(content),
                decided.signatures(content),
                decided.lapses(content),
                decided.waivers(content),
                decided.rollback(content),
                decided.checklist(content),
                ran.timeline(content),
                ran.findings(content),
                ran.steps(content),
                ran.files(content),
            )
            if section is not None
        ),
    )


def _summary(content: Mapping[str, Any], done: bool) -> str:
    verified = content["verification"]
    down = content["down"]["seconds"]
    away = f" The application was away for {in_words(down)}." if down is not None else ""
    if not done:
        return f"The run was rolled back; what became of its rows stands below.{away}"
    if verified is None:
        return f"No verification was recorded.{away}"
    if verified["equal"]:
        return (
            f"{many(verified['rows'], 'row')} and {many(verified['cells'], 'cell')} of "
            f"{many(len(verified['tables']), 'table')} were compared one by one, and are equal.{away}"
        )
    return f"{many(verified['differences'], 'difference')} found by the verification.{away}"


__all__: Sequence[str] = ("Layout", "Section", "Table", "lay_out")
