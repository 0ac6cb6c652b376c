"""Pure decisions: from manifests to plans and from outcomes to status. Never does I/O, never reads a clock."""
