"""`make manifests`: the chart as one plain YAML file, for those who install without Helm.

Decides what is left out as Helm's own: its labels, the test, and the mark that only Helm reads.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from hack.generate import ROOT, Plain
from tests.lab.binaries import helm_path

__all__ = ["main", "manifests"]

RELEASE = "channel-operator"
_HELMS = {"helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/managed-by"}
_FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount")


def manifests(namespace: str, arguments: list[str]) -> list[dict[str, Any]]:
    """Return what the chart installs, in an order that can be applied; `arguments` are Helm's, such as `--set`."""
    chart = ROOT / "charts/channel-operator"
    command: list[str | Path] = [helm_path(), "template", RELEASE, chart, f"--namespace={namespace}", "--no-hooks"]
    text = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout
    rendered = [_without_helm(one) for one in yaml.safe_load_all(text) if one]
    rendered.sort(key=lambda one: _FIRST.index(one["kind"]) if one["kind"] in _FIRST else len(_FIRST))
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, *rendered]


def _without_helm(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_helm(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_helm(item) for name, item in value.items() if name not in _HELMS}
    if kept.get("annotations") == {}:
        del kept["annotations"]
    return kept


def main(arguments: list[str]) -> int:
    """Write the file; Helm's complaint and its exit code if it refuses."""
    parser = argparse.ArgumentParser(prog="hack.manifests", description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--namespace", default="channel-operator")
    options, helms = parser.parse_known_args(arguments)
    try:
        found = manifests(options.namespace, helms)
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr, end="")
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(yaml.dump_all(found, Dumper=Plain, sort_keys=False, width=120, allow_unicode=True))
    print(f"wrote {options.output}: kubectl apply --server-side -f {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
