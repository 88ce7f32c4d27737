"""Every read of what only KVM has."""
