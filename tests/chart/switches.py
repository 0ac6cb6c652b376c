"""Every value of the chart set to something else than its default, in few sets that fit together. Asserts nothing."""

from typing import Any

__all__ = ["SWITCHES"]

SWITCHES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "names": {
        "nameOverride": "chan",
        "fullnameOverride": "messaging-channels",
        "commonLabels": {"team": "messaging"},
        "crds": {"install": False},
    },
    "bare": {
        "crds": {"install": False},
        "rbac": {"create": False, "aggregate": False},
        "serviceAccount": {"create": False, "name": "mine", "automount": False},
        "metrics": {"service": {"create": False}},
        "podDisruptionBudget": {"create": False},
        "replicaCount": 1,
    },
    "namespaced": {
        "watch": {"namespaces": ["shop", "billing"]},
        "crds": {"keep": False},
        "admissionPolicies": {"deletionPolicy": {"create": True, "namespaces": ["shop"]}},
    },
    "pods": {
        "image": {
            "registry": "registry.example.com",
            "repository": "a/b",
            "tag": "1",
            "digest": "sha256:" + "0" * 64,
            "pullPolicy": "Always",
        },
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccount": {"annotations": {"e": "f"}},
        "operator": {
            "logFormat": "text",
            "logLevel": "debug",
            "operatorId": "blue",
            "allowedBrokerHosts": ["*", "127.0.0.1"],
            "maxPolicies": 7,
            "tracingEndpoint": "http://collector:4318/v1/traces",
        },
        "metrics": {"port": 1234, "service": {"annotations": {"prometheus.io/scrape": "true"}}},
        "health": {"port": 1235},
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "resources": {"limits": {"memory": "1Gi"}},
        "tmpSizeLimit": "1Mi",
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "priorityClassName": "high",
        "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
        "hostAliases": [{"ip": "10.0.0.7", "hostnames": ["rabbitmq.example.com"]}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "extraArgs": ["--shard=1"],
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "v", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x", "namespace": "ops"}}
        ],
        "revisionHistoryLimit": 1,
        "terminationGracePeriodSeconds": 45,
        "strategy": {"type": "Recreate"},
    },
    "guards": {
        "networkPolicy": {
            "create": True,
            "dns": [{"namespaceSelector": {}}],
            "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]},
            "brokers": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"port": 15671}, {"port": 5671}]}],
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        },
        "admissionPolicies": {
            "validationActions": ["Warn", "Audit"],
            "physicalName": {"create": True, "namespaces": ["shop", "billing"]},
            "deletionPolicy": {"create": True, "namespaces": ["shop"]},
            "allowDataLoss": {"create": True, "namespaces": ["shop"]},
            "brokers": {"create": True, "groups": ["platform"]},
        },
    },
    "observed": {
        "metrics": {
            "renderMode": "always",
            "serviceMonitor": {
                "create": True,
                "labels": {"release": "prometheus"},
                "annotations": {"a": "b"},
                "interval": "1m",
                "scrapeTimeout": "20s",
                "relabelings": [{"action": "labeldrop", "regex": "pod"}],
                "metricRelabelings": [{"action": "labeldrop", "regex": "instance"}],
            },
            "prometheusRule": {
                "create": True,
                "labels": {"release": "prometheus"},
                "annotations": {"a": "b"},
                "alertLabels": {"team": "messaging"},
                "runbookUrl": "https://runbooks.example.com",
                "disabledAlerts": ["ChannelOperatorOrphansGrow"],
            },
            "dashboard": {
                "create": True,
                "namespace": "shop",
                "labels": {"grafana": "yes"},
                "annotations": {"grafana_folder": "messaging"},
            },
            "kubeStateMetrics": {"create": True, "namespace": "shop"},
        },
        "argocd": {"health": {"create": True, "namespace": "shop"}},
    },
    "test": {"test": {"broker": {"name": "main", "namespace": "ops"}, "namespace": "shop", "timeout": "1m"}},
}
"""Sets of values by name. Each is rendered and shown to a real API server; together they name every value there is."""
