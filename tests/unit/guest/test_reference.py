"""Docker's grammar of image names."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_agent.api.errors import AgentError
from atoll_agent.images.reference import Reference, looks_like_id, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "domain", "path", "tag", "digest", "familiar"),
    [
        ("alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest"),
        ("alpine:3.19", "docker.io", "library/alpine", "3.19", "", "alpine:3.19"),
        ("docker.io/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest"),
        ("index.docker.io/library/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest"),
        ("user/app", "docker.io", "user/app", "latest", "", "user/app:latest"),
        ("docker.io/a/b/c", "docker.io", "a/b/c", "latest", "", "a/b/c:latest"),
        ("ghcr.io/o/r:v1", "ghcr.io", "o/r", "v1", "", "ghcr.io/o/r:v1"),
        ("localhost/a", "localhost", "a", "latest", "", "localhost/a:latest"),
        ("localhost:5000/a:b", "localhost:5000", "a", "b", "", "localhost:5000/a:b"),
        ("h:5000/a", "h:5000", "a", "latest", "", "h:5000/a:latest"),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest", "", "[::1]:5000/a:latest"),
        ("[2001:db8::1]/a", "[2001:db8::1]", "a", "latest", "", "[2001:db8::1]/a:latest"),
        ("192.168.1.1/a", "192.168.1.1", "a", "latest", "", "192.168.1.1/a:latest"),
        ("Registry/a", "Registry", "a", "latest", "", "Registry/a:latest"),
        ("library/x", "docker.io", "library/x", "latest", "", "x:latest"),
        (f"a@{DIGEST}", "docker.io", "library/a", "", DIGEST, f"a@{DIGEST}"),
        (f"a:1@{DIGEST}", "docker.io", "library/a", "1", DIGEST, f"a:1@{DIGEST}"),
        ("a_b.c-d__e---f", "docker.io", "library/a_b.c-d__e---f", "latest", "", "a_b.c-d__e---f:latest"),
        ("a:_x", "docker.io", "library/a", "_x", "", "a:_x"),
        ("a:" + "x" * 128, "docker.io", "library/a", "x" * 128, "", "a:" + "x" * 128),
        ("docker.io", "docker.io", "library/docker.io", "latest", "", "docker.io:latest"),
        ("a" * 63, "docker.io", "library/" + "a" * 63, "latest", "", "a" * 63 + ":latest"),
    ],
)
def test_valid(text: str, domain: str, path: str, tag: str, digest: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert reference == Reference(domain, path, tag, digest)
    assert str(reference) == familiar
    assert parse_reference(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "@",
        "a:",
        ":a",
        "a:b:c",
        "a@",
        "a@sha256:abc",
        f"a@{DIGEST.upper()}",
        f"a@{DIGEST}x",
        f"a@{DIGEST}@{DIGEST}",
        "a@md5:0",
        "-a",
        "a-",
        "a..b",
        "a._b",
        "a___b",
        ".a",
        "/a",
        "a/",
        "a//b",
        "a b",
        "a\n",
        "a:b\n",
        "a:tag!",
        "a:.x",
        "a:-x",
        "a:" + "x" * 129,
        "h:port/a",
        "-h.x/a",
        "h_x.io/a",
        "[::1/a",
        "http://a",
        "a:ä",
        "ä",
        "A",
        "user/App",
        "ghcr.io/Owner/x",
        "a" * 256,
        "0" * 64,
        "abcdef0123456789" * 4,
    ],
)
def test_invalid(text: str) -> None:
    with pytest.raises(AgentError, match="invalid reference format") as caught:
        parse_reference(text)
    assert caught.value.status == 400


def test_capitals_are_named_as_the_reason() -> None:
    with pytest.raises(AgentError, match=r"repository name \(library/App\) must be lowercase"):
        parse_reference("App")


@given(st.text(alphabet=st.sampled_from("aZ0-_.:/@[]sha256 \n"), max_size=30))
def test_whatever_is_accepted_is_stable(text: str) -> None:
    with contextlib.suppress(AgentError):
        reference = parse_reference(text)
        assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "is_id"),
    [("a", True), ("0" * 64, True), ("sha256:0", True), ("", False), ("sha256:", False), ("0" * 65, False),
     ("A", False), ("g", False), ("a\n", False)],
)  # fmt: skip
def test_ids(text: str, is_id: bool) -> None:
    assert looks_like_id(text) is is_id
