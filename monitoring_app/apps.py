from django.apps import AppConfig

from controlplane.audit import append_only


class MonitoringAppConfig(AppConfig):
    name = "monitoring_app"
    label = "monitoring_app"
    verbose_name = "Monitoring"

    def ready(self) -> None:
        append_only.declare(("monitoring_app_alertevent",), since=("monitoring_app", "0003_alert_history_append_only"))
        from controlplane.mail import extras
        from monitoring_app.services import links

        extras.declare("alert", links.extras_of_alert)
        extras.declare("digest", links.extras_of_recipient)
        extras.declare("recipient_confirm", links.extras_of_confirmation)
