"""The API of what only KVM has."""
