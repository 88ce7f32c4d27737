"""Rules over what is mirrored and measured; alerts with a life of their own; an outbox to tell of them."""
