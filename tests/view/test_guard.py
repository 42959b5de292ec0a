"""Who may see the pages: programs that know the address, by its own name, reading only, and no file beside them."""

import asyncio

import pytest
from viewing import TOKEN, client

from sftdata.view.site import make_site


@pytest.mark.parametrize(
    "path", ["", "/", "/wrong/", "/the-right-on/", "/the-right-one2/rows", "/rows", "//the-right-one/"]
)
def test_without_the_token_nothing_is_shown(hostile, path):
    answer = client(hostile).get(f"http://127.0.0.1:8000{path}")
    assert (answer.status_code, "token" in answer.text) == (403, True)
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "0.0.0.0:80", "10.0.0.1", "", "[::1]:80"]
)
def test_under_another_name_nothing_is_shown(hostile, host):
    answer = client(hostile).get(f"/{TOKEN}/", headers={"host": host})
    assert (answer.status_code, "no other name" in answer.text) == (403, True)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:8000", "localhost"])
def test_under_its_own_names_it_is_shown(hostile, host):
    assert client(hostile).get(f"/{TOKEN}/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_it_can_only_be_read(hostile, method):
    assert client(hostile).request(method, f"/{TOKEN}/").status_code == 405


@pytest.mark.parametrize(
    "path", [f"/{TOKEN}/", f"/{TOKEN}/view.js", f"/{TOKEN}/nothing", "/wrong/", f"/{TOKEN}/row?at=x"]
)
def test_every_answer_lets_nothing_in_and_no_other_site_read_it(hostile, path):
    headers = client(hostile).get(path, headers={"origin": "http://evil.example"}).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["img-src"] == "data:"
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert (headers["cache-control"], headers["cross-origin-resource-policy"]) == ("no-store", "same-origin")
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    [
        "../manifest.json",
        "..%2fmanifest.json",
        "%2e%2e/%2e%2e/etc/passwd",
        "manifest.json",
        "train/data-00000-of-00001.arrow",
        "view.css/../../../pyproject.toml",
        "....//manifest.json",
        "rows/",
        "report.css%00",
        "\\..\\manifest.json",
    ],
)
def test_no_path_leads_to_a_file(hostile, path):
    answer = client(hostile).get(f"http://127.0.0.1:8000/{TOKEN}/{path}")
    assert answer.status_code in (403, 404)
    assert "format" not in answer.text
    assert client(hostile).get(f"/{TOKEN}/rows", params={"split": f"../{path}"}).status_code == 404


async def _ask(app, headers):
    sent = []
    scope = {"type": "http", "method": "GET", "path": f"/{TOKEN}/", "headers": headers}

    async def send(message):
        sent.append(message)

    await app(scope, None, send)
    return sent[0]["status"]


@pytest.mark.parametrize("hosts", [[], [b"localhost", b"evil.example"], [b"localhost", b"localhost"]])
def test_a_request_says_once_whom_it_asks(hostile, hosts):
    asked = _ask(make_site(hostile, TOKEN), [(b"host", host) for host in hosts])
    assert asyncio.run(asked) == 403
