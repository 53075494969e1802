"""Benchmarks from the hub, through the optional package `datasets`."""

from importlib import import_module
from typing import Any

from understudy.errors import UserError


def hub_rows(name: str, config: str | None, split: str) -> list[dict[str, Any]]:
    """The rows of a split of a hub data set.

    Raises:
        UserError: `datasets` is not installed, or the hub cannot be reached.
    """
    mend = "name a folder of the published files with --data (evaluate.data in a recipe)"
    try:
        load = import_module("datasets").load_dataset
    except ImportError:
        raise UserError(
            f"{name}: the hub's copies need the package datasets; install it, or {mend}"
        ) from None
    try:
        return list(load(name, config, split=split))
    except Exception as error:  # whatever the network, the hub or its cache raise
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise UserError(f"{name}: cannot be had from the hub ({reason}); {mend}") from error
