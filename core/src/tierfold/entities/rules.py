"""The text by which declarations, configuration files and catalogs name a key strategy."""

from __future__ import annotations

import re
from typing import Final

from tierfold.entities.ids import GLOBAL_KEY
from tierfold.errors import ConfigError

__all__ = ["GLOBAL_RULE", "parse_rule"]

GLOBAL_RULE: Final = GLOBAL_KEY
"""The strategy of the types that name none: everything in one partition."""

_CALL: Final = re.compile(r"([a-z][a-z0-9_-]*)(?:\(([^()]*)\))?")


def parse_rule(text: str) -> tuple[str, tuple[str, ...]]:
    """Registered name and options of a rule.

    ``date(time, month)`` is ``("date", ("time", "month"))``; a template, which is any text with a placeholder, is
    ``("template", (text,))``.

    Raises:
        ConfigError: The text is no rule.
    """
    if "{" in text:
        return "template", (text,)
    match = _CALL.fullmatch(text)
    if match is None:
        raise ConfigError(f"partition {text!r} is neither a template such as '{{site}}' nor the name of a key strategy")
    name, options = match.groups()
    return name, tuple(option.strip() for option in options.split(",")) if options else ()
