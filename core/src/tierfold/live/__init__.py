"""Live queries: what is there now, and then every change of it."""
