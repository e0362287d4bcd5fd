"""IR → Envoy's resources. Pure: a `Builder` keeps bytes, does no I/O."""

from sampan.xds.build.builder import Builder

__all__ = ["Builder"]
