"""Tierfold's embedded store on LMDB."""
