"""The same layer for programs without an event loop: every call returns when it is done.

Any number of threads may use it. In the thread of a running event loop every call raises `BlockingCallError`: that is
what the asynchronous layer is for.
"""

from tierfold.blocking.iteration import Live, Subscription
from tierfold.blocking.layer import DataLayer, Link
from tierfold.blocking.opening import Opening, open
from tierfold.blocking.query import Query
from tierfold.blocking.repository import Repository

__all__ = ["DataLayer", "Link", "Live", "Opening", "Query", "Repository", "Subscription", "open"]
