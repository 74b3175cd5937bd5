"""Conformance suites for plugin authors. Needs the extra ``tierfold[testing]``; nothing imports it at run time."""
