"""Reads of what only Docker has."""
