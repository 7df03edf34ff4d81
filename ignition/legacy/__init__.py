"""Ignition configs of spec 2.0 to 2.4, migrated to spec 3, with a report of what became of every field.

What a config does on a machine is kept; where spec 3 cannot say it, the config is refused. The reference for what can be
converted is coreos/ign-converter, the reference for what spec 2 does is the branch spec2x of coreos/ignition.
"""

from ignition.legacy.migration import migrate
from ignition.legacy.outcome import Change, Effect, Fate, Migration

__all__ = ["Change", "Effect", "Fate", "Migration", "migrate"]
