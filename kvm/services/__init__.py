"""Asked-for changes of what only KVM has."""
