"""Keep logins and tokens out of messages, parameters and tags: addresses carry them, and errors repeat addresses."""

import os
import re
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
SHORTEST = 4  # characters of a secret that is replaced wherever it stands; shorter ones would hit other words
# Environment variables that hold a secret, or an address that may have one.
_SECRETS = (
    "PGPASSWORD",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
)
_ADDRESSES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_S3_ENDPOINT_URL",
    "AWS_ENDPOINT_URL",
    "QUARTET_SEARCH_STORAGE",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
# `//user:password@host`; a password may hold / and @, and ends at the last @ before white space or a quote.
LOGIN = re.compile(r"(?<=//)[^\s'\"<>]*@(?=[\w.\[-])")
_NAMED = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:password|passwd|pwd|token|secret|signature|api[_-]?key|access[_-]?key|credential)[\w.-]*"
    r"|sig|auth|key)=)[^&\s'\"<>#;]+"
)


def without_secrets(text: str) -> str:
    """A text with the logins of addresses removed, and with secrets of the environment and of queries hidden."""
    for secret in _known():
        text = text.replace(secret, HIDDEN)
    return _NAMED.sub(rf"\g<1>{HIDDEN}", LOGIN.sub("", text))


def _known() -> list[str]:
    """The secrets in the environment, the longest first: one may be part of another."""
    found = {os.environ.get(name, "") for name in _SECRETS}
    for address in filter(None, map(os.environ.get, (*_ADDRESSES, *_PROXIES))):
        try:
            password = urlsplit(address).password or ""
        except ValueError:
            password = ""
        login = address.partition("//")[2].rpartition("@")[0]
        found |= {password, unquote(password), login.partition(":")[2], unquote(login.partition(":")[2])}
    return sorted((secret for secret in found if len(secret) >= SHORTEST), key=len, reverse=True)
