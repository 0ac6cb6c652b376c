"""The repository's texts and manifests agree with the code and with each other. Decides nothing, starts nothing."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from channel_operator.api import parse
from channel_operator.api.meta import API_VERSION, PLURALS, Kind
from channel_operator.api.reasons import Reason
from channel_operator.settings import Settings
from tests.unit.tracked import ROOT, TRACKED, name_of

CHART = ROOT / "charts" / "channel-operator"

TEXTS = [path for path in TRACKED if path.suffix == ".md"]
EXAMPLES = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples").glob("*/*.yaml")])


def _documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def _ours(text: str) -> list[dict[str, Any]]:
    return [document for document in _documents(text) if document.get("apiVersion") == API_VERSION]


def _schema(kind: Kind) -> dict[str, Any]:
    crd = yaml.safe_load((ROOT / "crds" / f"{PLURALS[kind]}.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def _faults(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Yield what a structural schema finds wrong: unknown and missing fields, types, enums."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    expected = schema.get("type")
    if expected in kinds and not isinstance(value, kinds[expected]):
        yield f"{path}: not of type {expected}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {schema['enum']}"
    if isinstance(value, dict) and "properties" in schema:
        yield from (f"{path}.{name}: unknown" for name in value if name not in schema["properties"])
        yield from (f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value)
        for name in value.keys() & schema["properties"].keys():
            yield from _faults(value[name], schema["properties"][name], f"{path}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, schema["items"], f"{path}[{index}]")


def _check_manifests(text: str) -> int:
    manifests = _ours(text)
    for manifest in manifests:
        kind = Kind(manifest["kind"])
        assert list(_faults(manifest["spec"], _schema(kind), f"{kind}.spec")) == []
        parse(kind, manifest["spec"])
    return len(manifests)


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_an_example_manifest_fits_its_crd(path: Path) -> None:
    found = _check_manifests(path.read_text())
    assert found or path.name == "namespaces.yaml"


def test_a_misspelt_field_in_a_manifest_would_be_found() -> None:
    faults = list(_faults({"brokerref": {}}, _schema(Kind.QUEUE), "spec"))
    assert sorted(faults) == ["spec.brokerRef: missing", "spec.brokerref: unknown"]


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_yaml_in_a_text_fits_the_crds(path: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        _check_manifests(block)


def test_the_charts_notes_say_what_the_readme_says() -> None:
    notes, readme = (CHART / "templates" / "NOTES.txt").read_text(), (ROOT / "README.md").read_text()
    printed = re.findall(r'\.Files\.Get "files/([\w.]+)"', notes)
    assert printed == ["broker.yaml", "namespaces.yaml", "channels.yaml"]
    assert "`Broker`](examples/broker.yaml)" in readme
    commands = re.findall(r"^  (kubectl get .+)$", notes, re.MULTILINE)
    assert commands
    assert [command for command in commands if command not in readme] == []


def test_the_readme_shows_the_first_example() -> None:
    block = re.search(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    assert block[1] == (ROOT / "examples" / "single-receiver" / "channels.yaml").read_text()


def test_every_example_has_manifests_a_client_and_a_readme() -> None:
    places = (ROOT / "examples").iterdir()
    folders = [path for path in places if path.is_dir() and path.name != "clients" and not path.name.startswith("__")]
    assert folders
    for folder in folders:
        assert {"README.md", "channels.yaml", "client.py"} <= {path.name for path in folder.iterdir()}, folder
        assert f"({folder.name}/)" in (ROOT / "examples" / "README.md").read_text()


def test_every_client_has_a_page_that_shows_its_program() -> None:
    folders = [path for path in (ROOT / "examples" / "clients").iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        page = (ROOT / "docs" / "clients" / f"{folder.name}.md").read_text()
        assert f"<!-- file: examples/clients/{folder.name}/" in page
        assert f"({folder.name}.md)" in (ROOT / "docs" / "clients" / "README.md").read_text()


# Written in pieces, so that this file does not find itself. The one exception is an XML namespace, not an address.
_SWITCHES = r"--(?:extra-)?index-" + r"url[ =]|--trusted-" + r"host"
FORBIDDEN = {
    "a path of one machine": r"/(?:work|root|home)/" + r"\w|/tmp/" + r"(?:brief|ship)\b",
    "a registry or mirror address": _SWITCHES + r"|https?://(?!maven\.apache\.org/POM/)[\w.-]*"
    r"(?:pypi|pythonhosted|npmjs|goproxy|proxy\.golang|maven|docker|quay|ghcr|artifactory|nexus|mirror)[\w.-]*[/:]",
    "a private key, or what a scanner takes for one": "-----BEGIN (?:[A-Z]+ )*PRIVATE " + "KEY-----",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_repository_holds_no(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{name_of(path)}: {match[0]}"
        for path in TRACKED
        for match in pattern.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def test_every_make_target_in_the_texts_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {
        (name_of(path), target)
        for path in [*TEXTS, ROOT / "kind-config.yaml"]
        for target in re.findall(
            r"(?:`|^|\$ |[:&] |DEMO_EXIT=1 )make ([a-z][a-z0-9-]*)", path.read_text(), re.MULTILINE
        )
    }
    assert ("README.md", "demo") in mentioned
    assert [item for item in sorted(mentioned) if item[1] not in targets] == []


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_in_a_text_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {_slug(heading) for heading in headings}, link


def test_every_reason_has_an_entry_in_troubleshooting_and_no_other_has() -> None:
    section = (ROOT / "docs" / "troubleshooting.md").read_text().split("\n## By reason\n")[1].split("\n## ")[0]
    entries = dict(re.findall(r"^### (\w+)\n(.+?)$", section, re.MULTILINE))
    assert sorted(entries) == sorted(str(reason) for reason in Reason)


def test_the_index_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    notes = sorted(path.name for path in folder.glob("0*.md"))
    assert len(notes) >= 12
    assert re.findall(r"\((0[^)]+\.md)\)", index) == notes
    for note in notes:
        lines = (folder / note).read_text().splitlines()
        assert 10 <= len(lines) <= 30, note
        assert lines[0].startswith(f"# {note[:4]} "), note


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (project["version"], project["version"])


def test_every_variable_the_chart_sets_is_a_setting() -> None:
    templates = "".join(path.read_text() for path in (CHART / "templates").glob("*.*"))
    used = set(re.findall(r"CHANNEL_OPERATOR_([A-Z_]+)", templates))
    assert "LOG_LEVEL" in used
    assert used <= {field.name.upper() for field in fields(Settings)}


def test_what_the_dockerfile_copies_is_let_through() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert copied
    assert sorted(copied) == sorted(let_through)
    assert all((ROOT / path).exists() for path in copied)
