"""The benchmark: the operator's speed beside the raw limit of the servers, in one run on one lab."""
