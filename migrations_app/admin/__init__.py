"""Everything about plans and runs, to look at; the actions on a run lead to the same dialogs as the pages."""

from django.contrib import admin

from migrations_app.admin import (  # noqa: F401  (each registers its models)
    checklist,
    gates,
    people,
    plans,
    replication,
    runs,
    trail,
)

admin.site.site_header = "Causeway"
admin.site.site_title = "Causeway admin"
admin.site.index_title = "Everything, to look at"
