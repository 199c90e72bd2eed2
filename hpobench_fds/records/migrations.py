"""Records of earlier versions of the schema in the present one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpobench_fds.records.schema import SCHEMA_VERSION, TRAITS


def migrated(data: dict[str, Any]) -> dict[str, Any]:
    """A run record's data in the present schema. Raises ValueError for one of an unknown version."""
    for old in range(schema_version(data), SCHEMA_VERSION):
        data = MIGRATIONS[old](data)
    return data


def schema_version(data: dict[str, Any]) -> int:
    """The version that a record's data states. Raises ValueError for one that is not known here."""
    version = data.get("schema_version", SCHEMA_VERSION)
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        newer = type(version) is int and version > SCHEMA_VERSION
        problem = "written by a newer version: schema" if newer else "unknown schema version"
        raise ValueError(f"{problem} {version!r} (allowed: 1 to {SCHEMA_VERSION})")
    return version


# Version 1 named no traits. The one list of methods by name: those that there were when it was written.
_TRAITS_OF_VERSION_1 = {
    "greedy": {"hd", "rtho", "marthe", "one_pass"},
    "exact": {"fds", "reverse", "reverse_sharing"},
    "truncated": {"truncated_reverse"},
    "multi_fidelity": {"hyperband", "asha", "bohb", "pbt"},
}
_NO_SEARCH_IN_VERSION_1 = {"default", "cosine", "one_cycle"}


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 has traits and an appearance, and no seconds of compilation, which nothing ever measured."""
    adapter = data.get("adapter")
    adapter = adapter if isinstance(adapter, str) else ""
    traits = {trait: adapter in _TRAITS_OF_VERSION_1.get(trait, ()) for trait in TRAITS}
    traits["searches"] = adapter not in _NO_SEARCH_IN_VERSION_1
    clock = data.get("clock")
    if isinstance(clock, dict):
        data = {**data, "clock": {name: value for name, value in clock.items() if name != "compile"}}
    return {**data, "schema_version": 2, "traits": traits, "appearance": {}}


def _from_2(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 takes for its incumbent the best of those trained longest, not the best of all."""
    return {**data, "schema_version": 3, "incumbent_rule": "best"}


def _from_3(data: dict[str, Any]) -> dict[str, Any]:
    """Version 4 has metrics, of which accuracy is one, where there were accuracies."""
    final, retrained = data.get("final"), data.get("retrained")
    if isinstance(final, dict):
        data = {**data, "final": with_metrics(final)}
    if isinstance(retrained, list):
        renamed = [with_metrics(one) if isinstance(one, dict) else one for one in retrained]
        data = {**data, "retrained": renamed}
    return {**data, "schema_version": 4}


_METRICS = {f"{kind}_accuracy": f"{kind}_metric" for kind in ("val", "test", "last_test")}


def with_metrics(data: dict[str, Any]) -> dict[str, Any]:
    """A table whose accuracies are called metrics, as from version 4 on; of a trace's line too."""
    return {_METRICS.get(name, name): value for name, value in data.items()}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2, 3: _from_3}
"""From a schema version to the next: a run record's data in, the same in the newer schema out.
A new field with a default needs none: records without it load as they are."""
