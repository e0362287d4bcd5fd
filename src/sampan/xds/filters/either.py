"""Whether one of several is enough (`any_auth`): then no filter may refuse on its own, and `auth` decides."""

from __future__ import annotations

from sampan import ir


def either(policies: ir.Policies) -> bool:
    """A question by gRPC is not among those of which one is enough: its filter cannot know of the others."""
    asked = policies.external_auth is not None and not policies.external_auth.grpc
    return policies.any_auth and (policies.basic_auth is not None or asked)
