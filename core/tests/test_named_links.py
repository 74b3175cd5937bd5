"""The mapping behind ``data.links``."""

from __future__ import annotations

import pytest

from tierfold.errors import ConfigError, LinkNotFoundError
from tierfold.links.named import NamedLinks

LINKS = NamedLinks({"office": 1, "cloud": 2})


def test_links_are_found_by_name() -> None:
    assert (LINKS["office"], dict(LINKS), len(LINKS), "cloud" in LINKS) == (1, {"office": 1, "cloud": 2}, 2, True)
    assert repr(LINKS) == "{'office': 1, 'cloud': 2}"


def test_a_name_that_is_none_is_told_which_there_are() -> None:
    with pytest.raises(LinkNotFoundError) as error:
        LINKS["ofice"]
    assert str(error.value) == "there is no link 'ofice'; there are office, cloud"
    assert isinstance(error.value, ConfigError)
    assert isinstance(error.value, KeyError)
    assert (LINKS.get("ofice"), "ofice" in LINKS) == (None, False)
    with pytest.raises(LinkNotFoundError, match="there are none"):
        NamedLinks({})["office"]
