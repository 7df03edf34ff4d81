"""Secrets: whatever is marked, or secret by the schema, is in no redacted text, in no spelling."""

import base64
import gzip
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ignition.document import Data, Mark
from ignition.errors import Entry, Severity
from ignition.secrets import Secret, Secrets, gunzip, mask_url, redact_config, schema_secrets

TOKEN = 'hunter2 & "é"\n\\x'
# A secret made of the mark itself, or of what stands next to it, cannot be told from the mark.
_TEXT = st.characters(exclude_characters="*", codec="utf-8")
_SECRETS = st.text(_TEXT, min_size=4, max_size=40).filter(lambda text: len(text.strip()) >= 4).map(str.strip)


def in_base64(text: str, offset: int) -> str:
    """What base64 always has of a text that begins `offset` bytes into a group of three."""
    data = text.encode()
    digits = base64.b64encode(b"\0" * offset + data).decode()
    return digits[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]


def spellings(secret: str) -> list[str]:
    """What must not be found; digits of base64 of a short text occur by chance, so only longer ones are looked for."""
    encoded = [in_base64(secret, offset) for offset in range(3)]
    plain = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, safe="")]
    return plain + [digits for digits in encoded if len(digits) >= 8]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a{TOKEN}b", "a***b"),
        (json.dumps(TOKEN), '"***"'),
        (json.dumps(TOKEN, ensure_ascii=False), '"***"'),
        (json.dumps(json.dumps(TOKEN)), '"\\"***\\""'),
        (json.dumps(TOKEN).replace("&", "\\u0026"), '"***"'),
        (repr(TOKEN), "'***'"),
        (quote(TOKEN), "***"),
        (quote(TOKEN, safe="&").lower(), "***"),
        (quote(quote(TOKEN)), "***"),
        ("".join(f"%{byte:02X}" for byte in TOKEN.encode()), "***"),
        ("nothing", "nothing"),
    ],
)
def test_a_secret_is_found_in_every_spelling(text: str, expected: str) -> None:
    assert Secrets([TOKEN]).redact(text) == expected


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_a_secret_is_found_anywhere_in_base64(offset: int, encode: Any) -> None:
    secret = "correct horse battery staple, and then some more so that a line is full ÿÿÿ"
    redacted = Secrets([secret]).redact(encode(b"x" * offset + secret.encode() + b"yy").decode())
    assert "***" in redacted
    assert len(redacted) <= 12


def data_urls(contents: bytes) -> list[str]:
    packed = base64.b64encode(gzip.compress(contents, mtime=0)).decode()
    in_base64 = base64.b64encode(contents).decode()
    nested = "data:;base64," + base64.b64encode(b'{"source":"data:;base64,' + packed.encode() + b'"}').decode()
    return [
        f"data:,{quote(contents)}",
        f"data:text/plain;charset=utf-8;base64,{in_base64}",
        f"data:;base64,{packed}",
        nested,
    ]


def opened(url: str) -> bytes:
    """The contents of a data URL, and of the data URLs in it."""
    head, _, body = url.partition(",")
    data = base64.b64decode(body) if head.endswith("base64") else bytes.fromhex(quote_to_hex(body))
    data = gunzip(data) if data.startswith(b"\x1f\x8b") else data
    inner = re.search(rb'"(data:[^"]*)"', data)
    return data + (opened(inner[1].decode()) if inner else b"")


def quote_to_hex(text: str) -> str:
    return "".join(part.lower()[1:] if part[0] == "%" else part.encode().hex() for part in re.findall(r"%..|.", text, re.DOTALL))


@pytest.mark.parametrize("form", range(4))
def test_data_urls_are_opened_redacted_and_closed(form: int) -> None:
    url = data_urls(f"token={TOKEN};".encode())[form]
    redacted = Secrets([TOKEN]).redact(json.dumps({"source": url}))
    contents = opened(json.loads(redacted)["source"])
    assert b"token=***;" in contents
    assert TOKEN.encode() not in contents
    harmless = data_urls(b"token=public;")[form]
    assert Secrets([TOKEN]).redact(harmless) == harmless


def test_gzip_that_cannot_be_opened_goes_as_a_whole() -> None:
    cut = base64.b64encode(gzip.compress(TOKEN.encode() * 9, mtime=0)[:-9]).decode()
    assert Secrets([TOKEN]).redact(f'"data:;base64,{cut}"') == '"data:,***"'


@settings(deadline=None)  # Patterns are compiled: a busy machine takes its time.
@given(_SECRETS, st.text(_TEXT, max_size=9), st.text(_TEXT, max_size=9), st.integers(0, 3))
@example("0000", "", "\0", 1)
def test_no_redacted_config_holds_the_secret(secret: str, before: str, after: str, form: int) -> None:
    contents = f"{before}{secret}{after}"
    config = {
        "ignition": {"version": "3.3.0"},
        "storage": {"files": [{"path": f"/{contents}", "contents": {"source": data_urls(contents.encode())[form]}}]},
        "systemd": {"units": [{"name": "a.service", "contents": contents}]},
    }
    # Nor are the digits by which JSON spells a character beside it: a NUL is \u0000, and holds no 0000.
    numbers = "".join(re.findall(r"\\u[0-9a-f]{4}", json.dumps(before + after)))
    for raw in (json.dumps(config), json.dumps(config, ensure_ascii=False)):
        for redacted in (redact_config(raw.encode(), Secrets([secret])).decode(), Secrets([secret]).redact(raw)):
            urls = re.findall(r'"(data:[^"]*)"', redacted)
            strings = [redacted, *(opened(url).decode("utf-8", "replace") for url in urls)]
            # What the harmless rest of the config holds anyway is no leak.
            rest = json.dumps(config).replace(json.dumps(contents)[1:-1], "") + numbers
            leaks = [way for way in spellings(secret) if any(way in text for text in strings) and way not in rest]
            assert leaks == []


@given(_SECRETS, st.integers(0, 30))
def test_no_message_quotes_a_part_of_a_secret(secret: str, cut: int) -> None:
    part = secret[: cut + 8]
    for text in (f"found {part!r}...", f"found {part}"):
        redacted = Secrets([secret]).redact_message(text)
        assert len(part) < 8 or part not in redacted


@pytest.mark.parametrize("cut", [1, 4, 7])
def test_no_message_quotes_how_a_secret_begins(cut: int) -> None:
    text = f"cannot unmarshal !!str `key={'hunter2-hunter2'[:cut]}...` into int"
    assert Secrets(["hunter2-hunter2"]).redact_message(text) == "cannot unmarshal !!str `key=***...` into int"


def test_a_problem_keeps_its_place() -> None:
    problem = Entry(Severity.ERROR, Mark("a.bu", 1, 2), "$.a", "found 'hunter2-hunt...'", "hunter2-hunter2?")
    assert Secrets(["hunter2-hunter2"]).redact_problem(problem) == Entry(
        Severity.ERROR, Mark("a.bu", 1, 2), "$.a", "found '***...'", "***?"
    )


def test_every_line_of_a_key_is_secret_but_not_its_armour() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\nshort\n-----END PRIVATE KEY-----\n"
    secrets = Secrets([key])
    assert secrets.redact(f"x\n{key}") == "x\n***\n"
    assert secrets.redact("+MC4CAQAwBQYDK2VwBCIEIA\n+-----END PRIVATE KEY-----") == "+***\n+-----END PRIVATE KEY-----"


@pytest.mark.parametrize("text", ["", "abc", "  a\n"])
def test_what_is_too_short_cannot_be_marked(text: str) -> None:
    with pytest.raises(ValueError, match="at least 4 characters"):
        Secret(text)
    with pytest.raises(ValueError, match="at least 4 characters"):
        Secrets([text])


def test_nothing_shows_a_secret_by_accident() -> None:
    secret = Secret("hunter2!")
    assert f"{[secret]} {secret[1:]!r} {Secrets([secret])}" == "[<secret>] <secret> <Secrets: 1>"
    assert secret == "hunter2!"
    assert secret.reveal() == "hunter2!"


def test_secrets_are_found_in_values_at_any_depth() -> None:
    values: Data = {"a": [{"b": Secret("in-a-list")}], Secret("as-a-key"): "public"}
    assert Secrets.in_values(values) == Secrets(["in-a-list", "as-a-key"])


SCHEMA = {
    "ignition": {
        "version": "3.3.0",
        "config": {
            "merge": [
                {
                    "source": "https://u:p@h/a?X-Amz-Signature=S&b=c",
                    "httpHeaders": [{"name": "Authorization", "value": "Bearer T"}],
                },
                {"source": "data:," + quote('{"ignition":{"version":"3.3.0"},"passwd":{"users":[{"passwordHash":"H"}]}}')},
            ]
        },
        "proxy": {"httpProxy": "http://u:p@proxy"},
    },
    "passwd": {
        "users": [{"name": "core", "passwordHash": "H", "sshAuthorizedKeys": ["public"]}],
        "groups": [{"passwordHash": "H"}],
    },
    "storage": {
        "files": [{"path": "/a", "contents": {"source": "data:,public"}}],
        "luks": [
            {"keyFile": {"source": "data:,K", "verification": {"hash": "sha256-K"}}, "clevis": {"custom": {"config": "C"}}},
            {"keyFile": {"source": "https://h/key"}},
        ],
    },
}


def test_what_the_schema_makes_secret_is_redacted_unmarked() -> None:
    redacted = json.loads(redact_config(json.dumps(SCHEMA).encode()))
    nested = redacted["ignition"]["config"]["merge"].pop()["source"]
    assert b'"passwordHash": "***"' in opened(nested)
    assert redacted == {
        "ignition": {
            "version": "3.3.0",
            "config": {
                "merge": [
                    {
                        "source": "https://***:***@h/a?X-Amz-Signature=***&b=c",
                        "httpHeaders": [{"name": "Authorization", "value": "***"}],
                    },
                ]
            },
            "proxy": {"httpProxy": "http://***:***@proxy"},
        },
        "passwd": {
            "users": [{"name": "core", "passwordHash": "***", "sshAuthorizedKeys": ["public"]}],
            "groups": [{"passwordHash": "***"}],
        },
        "storage": {
            "files": [{"path": "/a", "contents": {"source": "data:,public"}}],
            "luks": [
                {"keyFile": {"source": "***", "verification": {"hash": "***"}}, "clevis": {"custom": {"config": "***"}}},
                {"keyFile": {"source": "https://h/key"}},
            ],
        },
    }


def test_butane_and_other_spellings_of_keys_are_redacted() -> None:
    raw = b'{"variant":"fcos","passwd":{"users":[{"password_hash":"H"},{"PASSWORDHASH":"H"}]},"x":{"key_file":{"inline":"K"}}}'
    assert json.loads(redact_config(raw))["passwd"]["users"] == [{"password_hash": "***"}, {"PASSWORDHASH": "***"}]
    assert json.loads(redact_config(raw))["x"] == {"key_file": {"inline": "***"}}


def test_the_secrets_of_the_schema_can_be_looked_for_elsewhere() -> None:
    config: Data = {
        "passwd": {"users": [{"passwordHash": "$6$abcdefgh"}]},
        "storage": {"luks": [{"keyFile": {"source": "data:,pass%20phrase"}}]},
        "a": {"source": "https://user:p%40ssword@h", "httpHeaders": [{"name": "X", "value": "true"}]},
    }
    secrets = schema_secrets(config)
    assert secrets.redact("hash $6$abcdefgh, key pass phrase, user p@ssword, true") == "hash ***, key ***, user ***, true"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/a?b=c", "https://h/a?b=c"),
        ("https://token@h/", "https://***@h/"),
        ("https://h/a@b", "https://h/a@b"),
        ("s3://b/k?versionId=7", "s3://b/k?versionId=7"),
        ("https://h/?access_token=a&serial=1&sig=b#x", "https://h/?access_token=***&serial=1&sig=***#x"),
        ("text with auth=1", "text with auth=1"),
    ],
)
def test_urls_keep_all_but_what_gives_access(url: str, expected: str) -> None:
    assert mask_url(url) == expected


def test_what_is_no_json_is_redacted_as_text() -> None:
    assert redact_config(b"{token: hunter2!", Secrets(["hunter2!"])) == b"{token: ***"


def test_gzip_is_unpacked_in_all_its_members() -> None:
    assert gunzip(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    for bad in (b"x", gzip.compress(b"a")[:-1]):
        with pytest.raises(ValueError, match="gzip"):
            gunzip(bad)


@pytest.mark.timeout(5)
def test_backslashes_do_not_multiply_the_work() -> None:
    secrets = Secrets(["\\" * 60 + "a", "\\a" * 30])
    assert secrets.redact("\\" * 3000 + "b") == "\\" * 3000 + "b"
