"""The certificate as one HTML file that needs nothing else: no script, no stylesheet, no font from elsewhere."""

from __future__ import annotations

from django.template.loader import render_to_string

from migrations_app.services.certificate.layout import Layout


def render_html(layout: Layout, content_sha256: str) -> bytes:
    """The file's bytes."""
    text = render_to_string("certificate/document.html", {"layout": layout, "content_sha256": content_sha256})
    return text.encode("utf-8", "backslashreplace")
