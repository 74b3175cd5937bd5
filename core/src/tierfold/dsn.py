"""What a tier's url says: ``scheme:location?query``, read with the specs of the installed stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct
from msgspec.inspect import DataclassType, Field, LiteralType, StructType, TypedDictType, type_info

from tierfold.errors import ConfigError, PluginNotFoundError
from tierfold.specs import StoreSpec

__all__ = ["Dsn", "option_names", "parse_dsn"]


class Dsn(Struct, frozen=True):
    """A url, resolved. ``location`` is passed on as written, so a driver's own escapes survive."""

    scheme: str
    location: str
    options: object
    spec: StoreSpec[Any]


def parse_dsn(url: str, stores: Mapping[str, StoreSpec[Any]], failed: Sequence[str] = ()) -> Dsn:
    """Find the store that a url names and convert the query to its options.

    Messages never show location or values, which may hold secrets.

    Args:
        stores: Specs by scheme.
        failed: Names of the plugins that could not be loaded, for the message.

    Raises:
        ConfigError: No scheme, or the query does not fit the store's options.
        PluginNotFoundError: No enabled plugin provides the scheme.
    """
    written, colon, rest = url.partition(":")
    if not colon:
        raise ConfigError(f"{url!r} names no store; write scheme:location, with a scheme of {_listed(stores)}")
    scheme = _registered(written, stores)
    if scheme is None:
        raise PluginNotFoundError(f"a store for {written + ':'!r}", known=list(stores), failed=failed)
    if transform := written.removesuffix(scheme):
        raise PluginNotFoundError(f"the value transform {transform!r}", failed=failed)
    location, _, query = rest.partition("?")
    spec = stores[scheme]
    return Dsn(scheme, location, _convert(scheme, _pairs(scheme, query), spec), spec)


def _registered(written: str, stores: Mapping[str, StoreSpec[Any]]) -> str | None:
    """The longest registered end of ``x+y+scheme``; what stands before it are value transforms."""
    parts = written.split("+")
    ends = ("+".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in stores), None)


def _pairs(scheme: str, query: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"{scheme}: option {name!r} has no value; write {name}=VALUE")
        if name in pairs:
            raise ConfigError(f"{scheme}: option {name!r} is given twice")
        pairs[name] = unquote(value)
    return pairs


def _convert(scheme: str, pairs: dict[str, str], spec: StoreSpec[Any]) -> object:
    known = option_names(spec.options_type)
    if unknown := sorted(pairs.keys() - set(known)):
        raise ConfigError(f"{scheme}: unknown option {', '.join(map(repr, unknown))}; {scheme} knows {_listed(known)}")
    try:
        options: object = msgspec.convert(pairs, spec.options_type, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{scheme}: {_unchosen(pairs, spec.options_type) or error}") from None
    return options


def _unchosen(pairs: Mapping[str, str], options_type: type) -> str | None:
    """Which option has none of the texts that it may have."""
    for field in _fields(options_type):
        choices = field.type.values if isinstance(field.type, LiteralType) else ()
        if choices and pairs.get(field.encode_name, choices[0]) not in choices:
            return f"option {field.encode_name!r} is one of {', '.join(map(str, choices))}"
    return None


def option_names(options_type: type) -> list[str]:
    """The options that a query may name.

    Raises:
        TypeError: The type has no fields to convert a query to.
    """
    return [field.encode_name for field in _fields(options_type)]


def _fields(options_type: type) -> Sequence[Field]:
    info = type_info(options_type)
    if not isinstance(info, StructType | DataclassType | TypedDictType):
        raise TypeError(f"{options_type!r} has no fields")
    return info.fields


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"
