"""The words of enumerated fields: every row names a field that is there, and its description knows each word."""

from sampan.api import definitions, enums, openapi
from sampan.api.kinds import SCHEME


def test_every_row_names_a_field_of_a_definition():
    known = definitions.load()
    missing = [place for place in enums.VALUES if place[1] not in known.get(place[0], {}).get("properties", {})]
    assert missing == []
    assert all(values == sorted(values) for values in enums.VALUES.values())


def test_documents_of_version_3_carry_the_words():
    schemas = openapi.v3(SCHEME, "apis/apps/v1")["components"]["schemas"]
    strategy = schemas["io.k8s.api.apps.v1.DeploymentStrategy"]["properties"]["type"]
    assert strategy["enum"] == ["Recreate", "RollingUpdate"]
    assert "enum" not in schemas["io.k8s.api.apps.v1.Deployment"]["properties"]["kind"]
