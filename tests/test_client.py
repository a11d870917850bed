from __future__ import annotations

import pytest

pytest.importorskip("httpx", reason="the client needs the serve extra")

from lipsmith.client import Client
from lipsmith.errors import UsageError


@pytest.mark.parametrize("token", ["Schlüsselwort", "secret-word\n", " secret-word"])
def test_a_token_that_no_header_can_hold_is_refused(token: str) -> None:
    """As by a service, which has no such token."""
    with pytest.raises(UsageError, match="cannot be sent in a header"):
        Client(token=token)
    Client(token="correct horse battery staple").close()
