"""Entities: how a class is declared, and how its objects become records and come back."""
