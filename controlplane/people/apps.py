from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "controlplane.people"
    label = "people"
    verbose_name = "People"
