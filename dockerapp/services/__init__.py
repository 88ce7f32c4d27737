"""Asked-for changes of what only Docker has: permission, policy, intent."""
