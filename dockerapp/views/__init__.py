"""The pages of what only Docker has."""
