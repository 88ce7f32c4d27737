"""The pages of what only KVM has."""
