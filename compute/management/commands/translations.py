"""``manage.py translations``: bring the catalogues up to what is marked, or build them."""

from __future__ import annotations

from typing import Any

from babel.messages.pofile import read_po, write_po
from django.core.management.base import BaseCommand, CommandParser

from compute.translations.build import catalogue_paths, catalogues_build
from compute.translations.extract import messages_of


class Command(BaseCommand):
    help = "Build the catalogues that gettext reads; with --update first bring the .po up to what is marked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--update", action="store_true", help="add new messages, take out old ones")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["update"]:
            for path in catalogue_paths():
                with path.open("rb") as file:
                    catalogue = read_po(file, locale=path.parent.parent.name)
                # The date of each run would be in the way wherever two branches add messages.
                made_at = catalogue.creation_date
                catalogue.update(messages_of(path.stem), no_fuzzy_matching=True)
                catalogue.creation_date = made_at
                catalogue.obsolete.clear()
                with path.open("wb") as file:
                    write_po(
                        file, catalogue, width=110, sort_output=False, include_lineno=False, omit_header=False
                    )
                left = len([message for message in catalogue if message.id and not _is_whole(message.string)])
                self.stdout.write(f"{path.parent.parent.name} {path.stem}: {left} without a translation")
        for built in catalogues_build():
            self.stdout.write(f"Built {built.name} of {built.parent.parent.name}.")


def _is_whole(text: str | list[str] | tuple[str, ...] | None) -> bool:
    return all(text) if isinstance(text, (list, tuple)) else bool(text)
