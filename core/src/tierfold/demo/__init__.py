"""`tierfold demo`: two processes share a store, lose touch, change the same entities, and agree again."""
