"""The sockets of what only KVM has."""
