"""Wiring: settings, processes, launcher. Nothing else imports it.

It imports nothing itself: the launcher runs before any package is installed.
"""
