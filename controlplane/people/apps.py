from django.apps import AppConfig

from controlplane.audit import append_only


class PeopleConfig(AppConfig):
    name = "controlplane.people"
    label = "people"
    verbose_name = "People"

    def ready(self) -> None:
        append_only.declare(["people_accountchange"], since=("people", "0002_account_changes"))
