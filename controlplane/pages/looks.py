"""From a state to its word, shape and tone: the one table through which every page shows a state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Twelve units wide, drawn with currentColor: as clear on a printout as on a screen.
_STROKE = 'fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round"'
SHAPES: dict[str, str] = {
    "ring": '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.5"/>',
    "half": '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    '<path d="M6 1.4a4.6 4.6 0 0 0 0 9.2z" fill="currentColor"/>',
    "disc": '<circle cx="6" cy="6" r="5.2" fill="currentColor"/>',
    "cross": f'<path d="M2 2l8 8M10 2l-8 8" stroke-width="2" {_STROKE}/>',
    "pause": f'<path d="M3.6 1.5v9M8.4 1.5v9" stroke-width="2.2" {_STROKE}/>',
    "question": f'<path d="M3.4 4a2.6 2.6 0 1 1 3.7 2.4c-.7.35-1.1.8-1.1 1.6M6 10.6v.1" stroke-width="1.8" {_STROKE}/>',
    "dash": f'<path d="M1.8 6h8.4" stroke-width="2" {_STROKE}/>',
    "back": f'<path d="M2.2 6.6A4 4 0 1 0 3.4 3.1L1.8 4.6M1.8 1.4v3.2H5" stroke-width="1.6" {_STROKE}/>',
    "diamond": f'<path d="M6 1.2L10.8 6 6 10.8 1.2 6z" stroke-width="1.6" {_STROKE}/>',
    "dashes": '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-dasharray="2.2 2.6"/>',
    "triangle": '<path d="M6 1.2L11.2 10.6H.8z" fill="currentColor" stroke="currentColor" stroke-linejoin="round"/>',
    "outline": f'<path d="M6 1.6L11 10.4H1z" stroke-width="1.5" {_STROKE}/>',
    "pen": f'<path d="M2 10l.6-2.4L8.4 1.8l1.8 1.8-5.8 5.8z" stroke-width="1.4" {_STROKE}/>',
}
TONES = frozenset({"quiet", "live", "good", "care", "alarm"})


@dataclass(frozen=True)
class Look:
    word: str
    shape: str
    tone: str


# Kinds of states, each with its looks. An app declares its own; these are the ground floor's.
LOOKS: dict[str, Mapping[str, Look]] = {
    "mail": {
        "waiting": Look("Waiting", "ring", "quiet"),
        "sending": Look("Being sent", "half", "live"),
        "sent": Look("Sent", "disc", "good"),
        "failed": Look("Not delivered", "cross", "alarm"),
    },
    "trail": {
        "ok": Look("Intact", "disc", "good"),
        "broken": Look("Broken", "cross", "alarm"),
    },
}


def declare_looks(looks: Mapping[str, Mapping[str, Look]]) -> None:
    """Add kinds of states. Raises ValueError where a kind is there already with other looks."""
    for kind, table in looks.items():
        if LOOKS.setdefault(kind, table) is not table:
            raise ValueError(f"the looks of {kind!r} are declared twice")


def look_of(kind: str, state: str) -> Look:
    """The look of a state. An unknown one says its own name with a question mark, and never looks like success."""
    known = LOOKS[kind].get(state)
    return known or Look(str(state).replace("_", " ").capitalize() or "Unknown", "question", "care")
