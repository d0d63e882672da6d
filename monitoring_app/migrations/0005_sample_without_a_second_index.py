import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('monitoring_app', '0004_maintenance'),
    ]

    operations = [
        migrations.AlterField(
            model_name='sample',
            name='series',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='monitoring_app.series'),
        ),
    ]
