"""Each operation says of which version its payload is. The default of the database is for webs of before, which
go on inserting rows while a site is upgraded."""

from django.db import migrations, models

import compute.models.operation


class Migration(migrations.Migration):
    dependencies = [("compute", "0029_adoption_rules_older_than_tokens")]

    operations = [
        migrations.AddField(
            model_name="operation",
            name="payload_version",
            field=models.PositiveSmallIntegerField(
                db_default=1, default=compute.models.operation.payload_version_own
            ),
        ),
    ]
