"""Queries over the entities of one type."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from heapq import nlargest, nsmallest
from typing import Any, Final, Generic, Literal, TypeVar, cast

import msgspec

from tierfold.abc.indexed import IndexedStore
from tierfold.access import Access
from tierfold.catalog import EntityKind
from tierfold.entities.ids import check_key, split_id
from tierfold.errors import PartitionUnavailableError, QueryError, ValidationError
from tierfold.model import Record, SegmentName
from tierfold.queries.explanation import Explanation
from tierfold.queries.finder import Finder
from tierfold.queries.page import Page
from tierfold.queries.scope import Scope
from tierfold.where.bounds import Range
from tierfold.where.cursor import Cursor, open_cursor, seal_cursor
from tierfold.where.lens import Lens
from tierfold.where.mango import from_mango, to_mango
from tierfold.where.matching import matcher
from tierfold.where.order import Key
from tierfold.where.plan import Plan, choose, scan_plan
from tierfold.where.sorting import SortField, parse_sort, sort_key, sort_part
from tierfold.where.spans import spans, start_in
from tierfold.where.tree import EVERYTHING, Expression, Path, paths_of

__all__ = ["OnInvalid", "Query", "Where"]

T = TypeVar("T")

DEFAULT_PAGE: Final = 256
_SORTED_AT_ONCE: Final = 10_000
"""Results of a query without an index for its order that one pass over the records collects."""

Where = Expression | Mapping[str, Any]
OnInvalid = Literal["raise", "skip"]
