"""The tokens file: parsing, and errors."""

from pathlib import Path

import pytest

from telemetry_ingest import InvalidTokensError
from telemetry_ingest.tokens import new_token, parse_tokens, read_tokens, token_hash, tokens_entry

HASH = token_hash("good")
SECRET = "SECRET-5d1f"


def test_a_generated_entry_is_parsed() -> None:
    text = tokens_entry("good", user_id=-7, site_admin=True, note='a "quoted"\nnote')
    (known,) = parse_tokens(text, "tokens.toml")
    assert (known.sha256, known.caller.user_id, known.caller.site_admin) == (HASH, -7, True)
    (bare,) = parse_tokens(tokens_entry("good", user_id=None, site_admin=False, note=""), "tokens.toml")
    assert (bare.caller.user_id, bare.caller.site_admin) == (None, False)
    assert parse_tokens("", "tokens.toml") == []


def test_generated_tokens_are_long_and_unique() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(len(token) >= 40 and token.isascii() and token.startswith("tlm_") for token in made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SECRET, "tokens.toml: is not valid TOML"),
        (f'[[token]]\nsha256 = "{SECRET}"', "line 2: must be the token's SHA-256 in 64 lower-case hex digits"),
        (f'[[token]]\nsha256 = "{HASH.upper()}"', "line 2: must be the token's SHA-256"),
        ("[[token]]\nsha256 = 5", "line 2: must be the token's SHA-256"),
        ("[[token]]\nuser_id = 5", "line 1: is missing sha256"),
        (f'[[token]]\nsha256 = "{HASH}"\nuser_id = "{SECRET}"', "line 3: must be a 64-bit integer"),
        (f'[[token]]\nsha256 = "{HASH}"\nuser_id = true', "line 3: must be a 64-bit integer"),
        (f'[[token]]\nsha256 = "{HASH}"\nuser_id = {2**63}', "line 3: must be a 64-bit integer"),
        (f'[[token]]\nsha256 = "{HASH}"\nsite_admin = 1', "line 3: must be true or false"),
        (f'[[token]]\nsha256 = "{HASH}"\nadmin = true', "line 3: unknown field 'admin'"),
        (f'[[token]]\nsha256 = "{HASH}"\n[[token]]\nsha256 = "{HASH}"', "line 4: duplicates another token of the file"),
    ],
)
def test_errors_name_the_line_and_no_secret(text: str, said: str) -> None:
    with pytest.raises(InvalidTokensError) as caught:
        parse_tokens(text, "tokens.toml")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert HASH not in str(caught.value)


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidTokensError, match="no.toml: cannot be read: No such file"):
        read_tokens(tmp_path / "no.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidTokensError, match="latin.toml: cannot be read: is not UTF-8"):
        read_tokens(tmp_path / "latin.toml")
