"""Queries: conditions, order and limit over the entities of one type, answered in pages."""

from tierfold.queries.explanation import Explanation
from tierfold.queries.page import Page
from tierfold.queries.query import Query

__all__ = ["Explanation", "Page", "Query"]
