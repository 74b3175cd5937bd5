"""Queries: conditions, order and limit over the entities of one type, answered in pages."""
