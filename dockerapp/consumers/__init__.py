"""The sockets of what only Docker has."""
