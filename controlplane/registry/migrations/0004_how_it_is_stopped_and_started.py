"""How an application is stopped and started, and the units of systemd that a host's operator allows."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("registry", "0003_target_bound_to_its_row")]

    operations = [
        migrations.AddField(
            model_name="application",
            name="driver",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="host",
            name="units",
            field=models.JSONField(blank=True, default=list),
        ),
    ]
