"""The certificate that the service itself shows to callers: until when it is good, and for which names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_DAY = "%Y-%m-%d"


@dataclass(frozen=True, slots=True)
class TlsCertificate:
    """When it begins and ends, with those between it and the root, and the hosts in it, in small letters."""

    begins: datetime
    ends: datetime
    hosts: tuple[str, ...]

    def faults(self, host: str | None) -> Iterator[str]:
        """Why callers refuse it now, or under the name of a host, each as the end of a sentence with its cure."""
        now = datetime.now(UTC)
        if now >= self.ends:
            yield f"ended on {self.ends:{_DAY}}, so callers refuse it; put a new one in its place, and start again"
        if now < self.begins:
            yield f"is good from {self.begins:{_DAY}} on, so callers refuse it now; take another, or set the clock right"
        if host is not None and not any(_fits(host, own) for own in self.hosts):
            named = ", ".join(self.hosts) or "no host"
            yield (
                f"is for {named}, and --public-url names {host}, so callers refuse it there; take one for that name, unless a "
                "proxy in front shows its own"
            )


def read_tls_certificate(file: str) -> TlsCertificate:
    """The certificate at the beginning of a PEM file; raises OSError, and ValueError for what is none."""
    from cryptography import x509  # other commands do not wait for it

    chain = x509.load_pem_x509_certificates(Path(file).read_bytes())
    try:
        names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:
        hosts = []
    begins, ends = max(one.not_valid_before_utc for one in chain), min(one.not_valid_after_utc for one in chain)
    return TlsCertificate(begins, ends, tuple(name.lower() for name in hosts))


def _fits(host: str, own: str) -> bool:
    """Whether a name in a certificate is that of a host; a star stands for its first part."""
    first, _, rest = own.partition(".")
    return host == own or (first == "*" and rest != "" and host.partition(".")[2] == rest)
