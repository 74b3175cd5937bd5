"""Transactions: writes that are kept back until their end, seen meanwhile by who made them."""
