"""The loops that keep brokers as the manifests say: store, schedule, passes, election. Knows nothing of kopf."""
