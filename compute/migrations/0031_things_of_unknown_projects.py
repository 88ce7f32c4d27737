"""What is marked for a project that this database does not know is not the host's, which everybody sees."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("compute", "0030_payload_version")]

    operations = [
        migrations.AddField(
            model_name="resource",
            name="is_foreign",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
