"""Templates such as ``{site}.{room}`` and ``Quake.{time:%Y-%m}``, which make partitions and ids from fields.

A placeholder takes the text of a str, int, UUID, date or Enum; with a format, parts of a time: of an aware datetime in
UTC, of a date, or of ISO text of either. The directives have a fixed width and are the same on every machine, whatever
its locale and time zone: ``%Y %m %d %H %M %S %f %j %G %V %u``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from string import Formatter
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from tierfold.codec import INT_MAX, INT_MIN
from tierfold.entities.ids import check_key, check_suffix, escape, made_of
from tierfold.errors import ConfigError, ValidationError

__all__ = ["Template", "partition_template", "suffix_template"]

_TextOf = Callable[[object, str], str]
"""(value, path) -> the value's text in the result."""
_Piece = str | tuple[str, _TextOf]
"""Literal text, or a placeholder: the field's name and what makes its text."""

_DIRECTIVES: Final[Mapping[str, Callable[[Any], str]]] = {
    "%Y": lambda day: f"{day.year:04}",
    "%m": lambda day: f"{day.month:02}",
    "%d": lambda day: f"{day.day:02}",
    "%H": lambda moment: f"{moment.hour:02}",
    "%M": lambda moment: f"{moment.minute:02}",
    "%S": lambda moment: f"{moment.second:02}",
    "%f": lambda moment: f"{moment.microsecond:06}",
    "%j": lambda day: f"{day.timetuple().tm_yday:03}",
    "%G": lambda day: f"{day.isocalendar().year:04}",
    "%V": lambda day: f"{day.isocalendar().week:02}",
    "%u": lambda day: f"{day.isoweekday()}",
}
_OF_THE_CLOCK: Final = frozenset({"%H", "%M", "%S", "%f"})
_DIRECTIVE: Final = re.compile("(%.?)")
_NOT_ESCAPED: Final = (
    "a template of an id escapes nothing, unlike one of a partition: name a field that fits, such as a code or a hash"
)
_VARIABLE: Final = "\0"
"""Stands for a text of any length in the outline of a template."""


class Template(Struct, frozen=True):
    """A parsed template.

    Attributes:
        text: As it was written.
        fields: Names of the fields it reads, each once.
        texts: Those that it takes as they are.
        times: Those that it takes with a format.
        check: Returns the result if it follows the rules for what the template makes.
    """

    text: str
    fields: tuple[str, ...]
    pieces: tuple[_Piece, ...]
    check: Callable[[str], str]
    texts: tuple[str, ...]
    times: tuple[str, ...]

    def render(self, fields: Mapping[str, object]) -> str:
        """Fill in the fields.

        Raises:
            ValidationError: A value is missing, None, empty or of an unfit type, or the result is too long.
        """
        parts = []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(piece)
            else:
                name, text_of = piece
                parts.append(text_of(fields.get(name), f"$.{name}"))
        try:
            return self.check("".join(parts))
        except ValidationError as error:
            raise made_of(error, self.fields) from None


def partition_template(text: str) -> Template:
    """Parse the template of a logical key. Values are percent-escaped, so that different ones never share a key.

    Raises:
        ConfigError: The text is no such template.
    """
    pieces, outline = _parse(text, _escaped_text)
    if "%" in outline:
        raise ConfigError(
            f"template {text!r}: '%' is what values are escaped with; use it only in the format of a time"
        )
    # A dot cannot come from a value, so it alone shows where one value ends and the next begins.
    if any(segment.count(_VARIABLE) > 1 for segment in outline.split(".")):
        raise ConfigError(f"template {text!r}: put a '.' between placeholders, or different values share a partition")
    return _template(text, pieces, outline, check_key)


def suffix_template(text: str) -> Template:
    """Parse the template of an id's suffix. Values are never escaped: one that does not fit is a `ValidationError`.

    Raises:
        ConfigError: The text is no such template.
    """
    pieces, outline = _parse(text, _unescaped_text)
    return _template(text, pieces, outline, check_suffix)


def _template(text: str, pieces: list[_Piece], outline: str, check: Callable[[str], str]) -> Template:
    try:
        check(outline.replace(_VARIABLE, "x"))
    except ValidationError as error:
        raise ConfigError(f"template {text!r}: {error.reason}") from error
    fields = dict.fromkeys(piece[0] for piece in pieces if not isinstance(piece, str))
    read = [(name, format) for _, name, format, _ in _placeholders(text) if name is not None]
    texts = tuple(name for name, format in read if not format)
    times = tuple(name for name, format in read if format)
    return Template(text, tuple(fields), tuple(pieces), check, texts, times)


def _parse(text: str, plain: _TextOf) -> tuple[list[_Piece], str]:
    pieces: list[_Piece] = []
    outline = ""
    for literal, name, format, conversion in _placeholders(text):
        if literal:
            pieces.append(literal)
            outline += literal
        if name is None:
            continue
        if conversion or not name.isidentifier():
            raise ConfigError(f"template {text!r}: a placeholder is '{{field}}' or '{{field:%Y-%m}}'")
        pieces.append((name, _time_text(text, format) if format else plain))
        outline += _DIRECTIVE.sub("0", format) if format else _VARIABLE
    return pieces, outline


def _placeholders(text: str) -> Iterator[tuple[str, str | None, str | None, str | None]]:
    try:
        yield from Formatter().parse(text)
    except ValueError as error:
        raise ConfigError(f"template {text!r}: {error}") from error


# --- text of values ----------------------------------------------------------------------------------------------


def _plain_text(value: object, path: str) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, int) and not isinstance(value, bool):
        if not INT_MIN <= value <= INT_MAX:
            raise ValidationError("an int must fit into 64 bits with sign", path=path)
        return int.__repr__(value)
    if isinstance(value, UUID) or type(value) is date:
        return str(value)
    if value is None or value == "":
        raise ValidationError("the partition or id needs this field, but it is missing, None or empty", path=path)
    if not isinstance(value, str):
        raise ValidationError(f"a {type(value).__name__} cannot be part of a partition or id", path=path)
    return value


def _escaped_text(value: object, path: str) -> str:
    try:
        return escape(_plain_text(value, path))
    except UnicodeEncodeError as error:
        raise ValidationError("text with a lone surrogate cannot be stored", path=path) from error


def _unescaped_text(value: object, path: str) -> str:
    text = _plain_text(value, path)
    try:
        return check_suffix(text, path)
    except ValidationError as error:
        raise ValidationError(f"{error.reason}; {_NOT_ESCAPED}", path=path) from None


def _time_text(template: str, format: str) -> _TextOf:
    parts = [part for part in _DIRECTIVE.split(format) if part]
    directives = {part for part in parts if part.startswith("%")}
    if not directives or not directives <= _DIRECTIVES.keys():
        raise ConfigError(f"template {template!r}: a format is made of {' '.join(_DIRECTIVES)}, not {format!r}")
    needs_clock = not directives.isdisjoint(_OF_THE_CLOCK)

    def text_of(value: object, path: str) -> str:
        moment = _moment(value, path)
        if needs_clock and not isinstance(moment, datetime):
            raise ValidationError("a date has no time of day", path=path)
        return "".join(_DIRECTIVES[part](moment) if part in directives else part for part in parts)

    return text_of


def _moment(value: object, path: str) -> date:
    if isinstance(value, str):
        value = _parsed(value, path)
    if isinstance(value, datetime):
        return _in_utc(value, path)
    if isinstance(value, date):
        return value
    raise ValidationError(f"a {type(value).__name__} is no time; give a datetime, a date or ISO text", path=path)


def _in_utc(moment: datetime, path: str) -> datetime:
    if moment.utcoffset() is None:
        raise ValidationError("a datetime needs a time zone", path=path)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValidationError("a datetime must lie in the years 1 to 9999 of UTC", path=path) from error


def _parsed(text: str, path: str) -> date:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise ValidationError("this text is no ISO date or time", path=path)
