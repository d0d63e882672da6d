from django.apps import AppConfig


class MailConfig(AppConfig):
    name = "controlplane.mail"
    label = "mail"
    verbose_name = "Mail"
