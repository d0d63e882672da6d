from django.urls import path

from monitoring_app.views import readiness

urlpatterns = [path("healthz", readiness.healthz, name="healthz"), path("readyz", readiness.readyz, name="readyz")]
