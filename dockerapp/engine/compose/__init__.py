"""Compose files: read strictly, resolved by Compose itself, checked by LibGo, carried out by Compose."""
