"""How events come in once, and go out for sure: envelope, inbox, outbox, relay, consumer, dead letters."""
