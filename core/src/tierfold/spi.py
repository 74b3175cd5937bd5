"""All that a plugin's author imports: the mark of hooks, specs, abstract classes, values and errors. Nothing else."""

from tierfold import errors, model, specs
from tierfold.abc import engine, keys, store, syncable
from tierfold.abc.engine import *
from tierfold.abc.keys import *
from tierfold.abc.store import *
from tierfold.abc.syncable import *
from tierfold.errors import *
from tierfold.hookspecs import hookimpl
from tierfold.model import *
from tierfold.specs import *

__all__ = ["hookimpl"]
__all__ += engine.__all__
__all__ += keys.__all__
__all__ += store.__all__
__all__ += syncable.__all__
__all__ += errors.__all__
__all__ += model.__all__
__all__ += specs.__all__
