"""Addresses as people may see them: without the passwords, signatures and tokens in them."""

import re

BUCKETS = ("gs://", "s3://")  # how addresses in buckets begin

# As far as an address goes in a text: these characters are legal in none.
_ADDRESS = r"[a-z][a-z0-9+.-]*://[^\s\"<>\\]*"
_QUERY = r"(?<=\S)\?[^\s\"<>?=]*=[^\s\"<>]*"  # of a path without its host
_EITHER = re.compile(f"{_ADDRESS}|{_QUERY}", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^/?#]*")
_HOST = re.compile(r"([^:@\[\]]*|\[[^@\]]*\])(:\d*)?")
_PUNCTUATION = "'),.:;]}"  # what a text may put behind an address


def redacted(address: str) -> str:
    """Returns an address without what lets its bearer in.

    That is user and password, the query, where signatures and tokens stand, and the fragment. A
    webhook's path is a secret too, which only its caller can know.

    Args:
        address: A path, which stays as it is; or an address with ``://``, or one that starts with
            ``user:password@``. It may be malformed: rather more of it goes than less.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return re.sub(r"^[^/@]*:[^/@]*@", "", address)
    if scheme == "fake":  # there is no bearer: the query says what to make up
        return address
    host, tail = _split(rest)
    host = host.rpartition("@")[2]
    if not _HOST.fullmatch(host):  # a password with a slash in it, say
        host, tail = _split(rest.rpartition("@")[2])
    # In a bucket a question mark may be a glob's; a name and a value are a query's.
    secret = r"\?[^/]*=" if f"{scheme.lower()}://" in BUCKETS else r"[?#;]"
    public = re.split(secret, tail, maxsplit=1)[0]
    return f"{scheme}://{host}{public}" + ("" if public == tail else "?…")


def redacted_text(text: str) -> str:
    """Returns a text, such as a line of a log, with every address in it as :func:`redacted`."""

    def replace(match: re.Match[str]) -> str:
        if match[0].startswith("?"):
            return "?…"
        address = match[0].rstrip(_PUNCTUATION)
        return redacted(address) + match[0][len(address) :]

    return _EITHER.sub(replace, text)


def joined(directory: str, name: str) -> str:
    """Returns the address of a file in a directory, whose query, if it has one, is its own."""
    query = re.search(r"\?.*", directory) if "://" in directory else None
    path = directory[: query.start()] if query else directory
    return f"{path.rstrip('/')}/{name}" + (query[0] if query else "")


def _split(rest: str) -> tuple[str, str]:
    authority = _AUTHORITY.match(rest)
    assert authority is not None  # it may be empty
    return authority[0], rest[authority.end() :]
