"""Embedded stores: record logic over an engine, and the writer that runs it."""
