"""Django's error reports without secrets: its own filter shows URLs of databases and brokers in clear."""

import re
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from controlplane.redaction import redact


class SecretsExceptionReporterFilter(SafeExceptionReporterFilter):
    """Hides settings by name, credentials in any text, and every local variable and form value."""

    hidden_settings = re.compile(
        r"API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|COOKIE|SESSION|URL|DSN|DATABASE|BROKER|EMAIL|CREDENTIAL", re.I
    )

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        cleansed = super().cleanse_setting(key, value)
        return redact(str(cleansed)) if isinstance(cleansed, str) else cleansed  # str: some are lazy

    def is_active(self, request: HttpRequest | None) -> bool:
        """Always: a report with DEBUG on leaves the machine as easily as one without."""
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        posted = getattr(request, "POST", {})
        return {name: self.cleansed_substitute for name in posted}

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> Any:
        return {name: self.cleansed_substitute for name in tb_frame.f_locals}.items()
