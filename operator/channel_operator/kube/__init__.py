"""The edge to Kubernetes: watching, statuses, finalizers, Events, Secrets, Leases. The only room that knows kopf."""
