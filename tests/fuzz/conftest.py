"""Property tests over things as they really are: recorded streams, whole records, journals, the management API.

Each is small here; `make fuzz` runs them with many more examples.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
