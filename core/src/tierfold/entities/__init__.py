"""Entities: how a class is declared, and how its objects become records and come back."""

from __future__ import annotations

from tierfold.entities.adapter import EntityAdapter, adapter_for, document_adapter
from tierfold.entities.declaration import Declaration, Declared, declare, disagreements
from tierfold.entities.entity import Entity, entity
from tierfold.entities.ids import GLOBAL_KEY, check_key, check_prefix, entity_key, logical_key, split_id
from tierfold.entities.placement import Placement
from tierfold.entities.rules import GLOBAL_RULE, parse_rule
from tierfold.entities.system import EPOCH, SYSTEM_FIELDS, time_of

__all__ = [
    "EPOCH",
    "GLOBAL_KEY",
    "GLOBAL_RULE",
    "SYSTEM_FIELDS",
    "Declaration",
    "Declared",
    "Entity",
    "EntityAdapter",
    "Placement",
    "adapter_for",
    "check_key",
    "check_prefix",
    "declare",
    "disagreements",
    "document_adapter",
    "entity",
    "entity_key",
    "logical_key",
    "parse_rule",
    "split_id",
    "time_of",
]
