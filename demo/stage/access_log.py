"""The web server's access log without what would let its reader act as somebody: links of mails carry signed tokens."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from controlplane.redaction import redact


class MaskingLogger(Logger):  # type: ignore[misc]
    """gunicorn's own, with every text of a line masked: the path, the query and the page that it came from."""

    def atoms(self, *arguments: Any) -> dict[str, Any]:
        """What a line is made of, by gunicorn's names."""
        found: dict[str, Any] = super().atoms(*arguments)
        return {name: redact(value) if isinstance(value, str) else value for name, value in found.items()}
