"""`sdnb.cluster.Ray`: how many of Ray's workers make a sweep's pictures.

It lives in `sdnb.sweeps.ray_engine`; this is its public name.
"""

from sdnb.sweeps.ray_engine import Ray

__all__ = ["Ray"]
