from django.apps import AppConfig


class PagesConfig(AppConfig):
    """What all pages share: the frame, words for numbers and times, the looks of states. No model."""

    name = "controlplane.pages"
    label = "pages"
