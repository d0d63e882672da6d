"""The looks of limits, alerts, silences and what else the monitor says."""

from __future__ import annotations

from controlplane.pages.looks import Look, declare_looks

MONITORED: dict[str, dict[str, Look]] = {
    "limit": {
        "over": Look("Over, firing", "triangle", "alarm"),
        "no_data": Look("No data, firing", "triangle", "alarm"),
        "owned": Look("Over, somebody has it", "outline", "care"),
        "held": Look("Over, held back", "outline", "care"),
        "pending": Look("Over, not for long yet", "outline", "care"),
        "within": Look("Within", "disc", "good"),
        "partial": Look("Within what can be seen", "dashes", "care"),
        "unknown": Look("Unknown", "question", "care"),
        "unwatched": Look("Not watched", "dash", "quiet"),
        "off": Look("Rule is off", "dash", "quiet"),
    },
    "alert": {
        "pending": Look("Pending", "ring", "quiet"),
        "firing": Look("Firing", "triangle", "alarm"),
        "acknowledged": Look("Acknowledged", "outline", "care"),
        "resolved": Look("Resolved", "disc", "good"),
    },
    "silence": {
        "running": Look("Silent", "pause", "care"),
        "planned": Look("Planned", "ring", "quiet"),
        "ended": Look("Ended", "dash", "quiet"),
    },
    "recipient": {
        "confirmed": Look("Confirmed", "disc", "good"),
        "waiting": Look("Not confirmed yet", "diamond", "live"),
        "unsubscribed": Look("Unsubscribed", "dash", "quiet"),
    },
    "outcome": {
        "fine": Look("Fine", "disc", "good"),
        "warning": Look("Warning", "outline", "care"),
        "critical": Look("Critical", "triangle", "alarm"),
        "unknown": Look("Unknown", "question", "care"),
    },
    "view": {
        "full": Look("Full view", "disc", "good"),
        "partial": Look("Partial view", "dashes", "care"),
        "unknown": Look("Unknown", "question", "care"),
    },
    "maintenance": {
        "asked": Look("Asked for", "ring", "quiet"),
        "running": Look("Running", "half", "live"),
        "done": Look("Done", "disc", "good"),
        "failed": Look("Failed", "cross", "alarm"),
    },
    "rule": {
        "on": Look("On", "disc", "good"),
        "off": Look("Off", "dash", "quiet"),
    },
}

declare_looks(MONITORED)
