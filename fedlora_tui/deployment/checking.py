"""`deploy check`: every link of a deployment, one after the other, and in one line what is wrong and what to do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from cryptography import x509

from fedlora_tui import __version__
from fedlora_tui.deployment import keys, layout
from fedlora_tui.deployment.layout import NODE, SERVER, About
from fedlora_tui.deployment.own_side import policy_found, text_found
from fedlora_tui.deployment.reaching import Answer, Unreached, ask
from fedlora_tui.errors import UserError
from fedlora_tui.ssh_keys import fingerprint
from fedlora_tui.versions import same_release

OK, LOOK, WRONG = "ok", "look", "wrong"
SOON = timedelta(days=30)
CLOCKS_DIFFER_SECONDS = 240.0
"""Flower lets no node in whose clock differs by five minutes."""
LET_IN_SOON = (1.0, 2.0, 4.0)
"""Rests between the questions of a node that is not let in: its key may have come a moment before it is started."""


@dataclass(frozen=True)
class Link:
    """One thing that was looked at. `state` is ok, look (it works, for now) or wrong; `advice` says what to do."""

    place: str
    name: str
    found: str
    state: str = OK
    advice: str = ""


def check(folder: Path, before_start: bool = False, now: datetime | None = None) -> list[Link]:
    """Look at all links of a role folder, or of all role folders of a deployment.

    `before_start`: what a role needs that is started next. A server's port is to be free then, and a SuperLink that a
    node cannot reach yet is nothing wrong.
    """
    found: list[Link] = []
    for place in layout.role_folders(folder):
        about = layout.read_about(place)
        found += _Looking(place, about, before_start, now or datetime.now(UTC)).links()
    authority = folder / layout.AUTHORITY / layout.CA_KEY
    if authority.exists():
        found += _modes(layout.AUTHORITY, authority)
    return found


@dataclass(frozen=True)
class _Looking:
    """The look at one role folder."""

    folder: Path
    about: About
    before_start: bool
    now: datetime

    def links(self) -> list[Link]:
        looks: list[Callable[[], Iterator[Link]]] = [self._versions_here]
        if self.about.secure:
            looks.append(self._authority)
        else:
            looks.append(self._insecure)
        if self.about.role == SERVER:
            looks += [self._certificate, self._nodes] if self.about.secure else []
            looks += [self._port] if self.before_start else [self._superlink, self._refused]
        elif self.about.role == NODE:
            looks += [self._data, self._policy, *([self._key] if self.about.secure else []), self._superlink]
        else:
            looks.append(self._superlink)
        return [link for look in looks for link in look()]

    def _link(self, name: str, found: str, state: str = OK, advice: str = "") -> Link:
        return Link(self.folder.absolute().name, name, found, state, advice)

    def _versions_here(self) -> Iterator[Link]:
        flower = version("flwr")
        said = f"fedlora-tui {__version__}, Flower {flower}"
        if self.about.fedlora_tui == __version__ and same_release(self.about.flwr, flower):
            yield self._link("versions", said)
        else:
            made = f"the folder is by fedlora-tui {self.about.fedlora_tui} and Flower {self.about.flwr}"
            advice = "install the version that the whole deployment has"
            yield self._link("versions", f"{said}; {made}", LOOK, advice)

    def _insecure(self) -> Iterator[Link]:
        advice = "make a folder without --insecure wherever others share the network"
        yield self._link("protection", "INSECURE: no TLS, and any node is let in", LOOK, advice)

    def _authority(self) -> Iterator[Link]:
        certificate = self._read(layout.CA)
        if isinstance(certificate, Link):
            yield certificate
        else:
            yield from self._lifetime(layout.CA, certificate, "make a new deployment")

    def _certificate(self) -> Iterator[Link]:
        key = self.folder / layout.CERTIFICATE_KEY
        yield from _modes(self.folder.absolute().name, key)
        own, authority = self._read(layout.CERTIFICATE), self._read(layout.CA)
        if isinstance(own, Link):
            yield own
        if isinstance(own, Link) or isinstance(authority, Link) or not key.is_file():
            return
        renew = "fedlora-tui deploy renew DIR, then copy server.pem and server.key here"
        yield from self._lifetime(layout.CERTIFICATE, own, renew)
        if not keys.is_signed_by(own, authority):
            yield self._link(layout.CERTIFICATE, "it is not by the authority of ca.pem", WRONG, renew)
        if not keys.belongs(key.read_bytes(), own):
            yield self._link(layout.CERTIFICATE_KEY, "it is not the key of server.pem", WRONG, renew)
        missing = [host for host in (self.about.host, *self.about.hosts) if host not in keys.hosts_of(own)]
        if missing:
            advice = f"fedlora-tui deploy renew DIR --host {missing[0]}, then copy server.pem and server.key here"
            yield self._link(layout.CERTIFICATE, f"it is not for {missing[0]}", WRONG, advice)

    def _read(self, name: str) -> x509.Certificate | Link:
        try:
            return keys.read_certificate(self.folder / name)
        except FileNotFoundError:
            return self._link(name, "it is missing", WRONG, "copy the folder anew from where it was made")
        except (OSError, ValueError):
            return self._link(name, "it holds no certificate", WRONG, "copy the folder anew from where it was made")

    def _lifetime(self, name: str, certificate: x509.Certificate, remedy: str) -> Iterator[Link]:
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if ends < self.now:
            yield self._link(name, f"it expired on {ends:%Y-%m-%d %H:%M} UTC", WRONG, remedy)
        elif begins > self.now:
            advice = "set this machine's clock right"
            yield self._link(name, f"it is not valid before {begins:%Y-%m-%d %H:%M} UTC", WRONG, advice)
        elif ends - self.now < SOON:
            yield self._link(name, f"it expires on {ends:%Y-%m-%d}", LOOK, remedy)
        else:
            yield self._link(name, f"valid until {ends:%Y-%m-%d}")

    def _nodes(self) -> Iterator[Link]:
        files = sorted((self.folder / layout.NODES).glob("*.pub"))
        bad = [file for file in files if not _is_public(file)]
        for file in bad:
            yield self._link(
                f"nodes/{file.name}", "it holds no public key", WRONG, "copy it anew from where it was made"
            )
        if not files:
            advice = "copy an organization's .pub file there, or: fedlora-tui deploy add DIR NAME"
            yield self._link(layout.NODES, "no node is let in: the folder is empty", WRONG, advice)
        else:
            said = f"{len(files) - len(bad)} let in: {', '.join(file.stem for file in files if file not in bad)}"
            yield self._link(layout.NODES, said)

    def _port(self) -> Iterator[Link]:
        listen = self.about.listen or "127.0.0.1"
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((listen, self.about.port))
                yield self._link("port", f"{self.about.port} is free")
            except OSError as error:
                advice = "it may run already, or something else has the port: end that first"
                found = f"{listen} port {self.about.port} cannot be had ({error.strerror or error})"
                yield self._link("port", found, WRONG, advice)

    def _data(self) -> Iterator[Link]:
        data = self.folder / layout.DATA
        try:
            yield self._link(layout.DATA, text_found(self.about.organization, data))
        except UserError as error:
            # With text of any kind the run has the last word: it may read other fields of it.
            nothing = not data.is_dir() or not any(data.iterdir())
            yield self._told(layout.DATA, error, WRONG if nothing and self.before_start else LOOK)
        except OSError as error:
            advice = "let the user who starts the node read it"
            yield self._link(layout.DATA, f"it cannot be read ({error.strerror})", WRONG, advice)

    def _policy(self) -> Iterator[Link]:
        try:
            yield self._link(layout.POLICY, policy_found(self.folder / layout.POLICY))
        except UserError as error:
            yield self._told(layout.POLICY, error, WRONG)

    def _told(self, name: str, error: UserError, state: str) -> Link:
        found, _, advice = str(error).partition("; ")
        return self._link(name, found, state, advice)

    def _key(self) -> Iterator[Link]:
        file = self.folder / layout.NODE_KEY
        copy = "copy the folder anew from where it was made"
        try:
            own = fingerprint(keys.node_public(file.read_bytes()))
        except FileNotFoundError:
            yield self._link(layout.NODE_KEY, "it is missing", WRONG, copy)
        except (OSError, ValueError) as error:
            yield self._link(layout.NODE_KEY, f"it cannot be used: {error}", WRONG, copy)
        else:
            yield from _modes(self.folder.absolute().name, file)
            yield from self._whose(own)

    def _whose(self, own: str) -> Iterator[Link]:
        """Say where a node's key is not its organization's: the SuperLink lets it in, and a run refuses it.

        Whose it is says the folder of public keys, where the whole deployment is here; otherwise the node's folder
        knows with which key it was made.
        """
        name, owners = self.about.organization, keys.owners(self.folder.absolute().parent / SERVER / layout.NODES)
        advice = f"copy {layout.node_folder(name)}/{layout.NODE_KEY} anew from where it was made"
        if name and own in owners:
            if owners[own] != name:
                found = f"it is the key of {owners[own]}, and this folder is {name}'s: a run refuses it"
                yield self._link(layout.NODE_KEY, found, WRONG, advice)
        elif name in owners.values():
            yield self._link(layout.NODE_KEY, f"it is not the key of server/nodes/{name}.pub", WRONG, advice)
        elif self.about.key and own != self.about.key:
            found = "it is not the key that this folder was made with: a run refuses another organization's"
            yield self._link(layout.NODE_KEY, found, LOOK, f"{advice}; with a new key of your own all is well")

    def _superlink(self) -> Iterator[Link]:
        host = self.about.own_address if self.about.role == SERVER else self.about.host
        authority = self._pem()
        if self.about.secure and authority is None:
            return
        try:
            answer = ask(host, self.about.port, authority)
        except Unreached as error:
            state = LOOK if error.absent and self.before_start and self.about.role == NODE else WRONG
            found = f"{error.found}; the node will wait for it" if state == LOOK else error.found
            yield self._link("SuperLink", found, state, error.advice)
            return
        yield from self._answered(answer)
        if self.about.role == NODE:
            yield from self._registered(authority) if self.about.secure else ()
        else:
            yield from self._roll(host, authority)

    def _pem(self) -> bytes | None:
        try:
            return (self.folder / layout.CA).read_bytes() if self.about.secure else None
        except OSError:
            return None

    def _answered(self, answer: Answer) -> Iterator[Link]:
        place = f"{self.about.superlink} answers"
        flower = version("flwr")
        if not answer.fedlora_tui:
            advice = (
                "start it by its start.sh: as it is, whoever reaches its port may register a key and start programs"
            )
            yield self._link("SuperLink", f"{place}, but was not started by fedlora-tui", WRONG, advice)
        elif answer.fedlora_tui != __version__ or not same_release(answer.flwr, flower):
            theirs, ours = (f"fedlora-tui {own} with Flower {of}" for own, of in _ends(answer, flower))
            advice = "install the same at both ends"
            yield self._link("SuperLink", f"versions differ: it has {theirs}, here is {ours}", WRONG, advice)
        else:
            yield self._link("SuperLink", f"{place}{', with TLS' if self.about.secure else ''}")
        if abs(answer.clock) > CLOCKS_DIFFER_SECONDS:
            found = f"it differs from the server's by {abs(answer.clock) / 60:.0f} minutes"
            yield self._link(
                "clock", found, WRONG, "set both clocks right: no node is let in with five minutes between"
            )

    def _registered(self, authority: bytes | None) -> Iterator[Link]:
        from fedlora_tui.federation.asking import LET_IN, NOT_REGISTERED, refusal_of_key

        file = self.folder / layout.NODE_KEY
        try:
            private = file.read_bytes()
            public = keys.node_public(private).decode()
        except (OSError, ValueError):
            return  # its own link says so
        try:
            for rest in (0.0, *(LET_IN_SOON if self.before_start else ())):
                time.sleep(rest)
                refusal = refusal_of_key(self.about.superlink, authority or b"", private)
                if refusal != NOT_REGISTERED:
                    break
        except Exception as error:  # whatever goes wrong on the way is said, as every other link's is
            yield self._link(
                "key", f"it could not be asked for ({error})", WRONG, "try again; look at the server's log"
            )
            return
        if refusal == LET_IN:
            yield self._link("key", "registered: the SuperLink lets this node in")
        else:
            file_there = f"server/nodes/{self.about.organization}.pub"
            advice = f"put this line into {file_there} on the server, or a new key where it was taken out: {public}"
            yield self._link("key", refusal, WRONG, advice)

    def _roll(self, host: str, authority: bytes | None) -> Iterator[Link]:
        from fedlora_tui.federation.asking import nodes_of

        folder = self.folder / layout.NODES if self.about.role == SERVER and self.about.secure else None
        try:
            missing, connected, known = nodes_of(layout.joined(host, self.about.port), authority, folder)
        except Exception as error:
            advice = "the operator asks from the server's machine, or through ssh -L"
            yield self._link("nodes connected", f"the SuperLink does not say ({error})", WRONG, advice)
            return
        for name in missing:
            advice = (
                "wait some seconds; a key that was taken out is never let in again: fedlora-tui deploy add a new one"
            )
            yield self._link(f"nodes/{name}.pub", "it is not registered at the SuperLink", WRONG, advice)
        who = f": {', '.join(connected)}" if connected and folder is not None else ""
        count = f"{len(connected)} of {known}" if self.about.secure else str(len(connected))
        yield self._link("nodes connected", f"{count}{who}")

    def _refused(self) -> Iterator[Link]:
        from fedlora_tui.federation.refusals import read

        owners = keys.owners(self.folder / layout.NODES)
        for one in read(self.folder / layout.REFUSED):
            owner = owners.get(one.key, one.whose)
            whose = f" with {f'the key of {owner},' if owner else 'the key'} {one.key}" if one.key else ""
            place = f" from {one.address}" if one.address else ""
            last = f"{datetime.fromtimestamp(one.last, UTC):%Y-%m-%d %H:%M} UTC"
            found = f"{one.times} time{'' if one.times == 1 else 's'}{place}{whose}, last {last}: {one.reason}"
            yield self._link(layout.REFUSED, found, LOOK, "whoever it is was not let in; remove the file to forget it")


def _ends(answer: Answer, flower: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (answer.fedlora_tui, answer.flwr), (__version__, flower)


def _is_public(file: Path) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        return isinstance(load_ssh_public_key(file.read_bytes()), ec.EllipticCurvePublicKey)
    except Exception:  # whatever stands in the file
        return False


def _modes(place: str, file: Path) -> Iterator[Link]:
    """Say where a private key may be read by others."""
    try:
        mode = file.stat().st_mode & 0o777
    except OSError:
        yield Link(place, file.name, "it is missing", WRONG, "copy the folder anew from where it was made")
        return
    if mode & 0o077:
        yield Link(place, file.name, f"others may read this key (mode {mode:o})", WRONG, f"chmod 600 {file}")
    else:
        yield Link(place, file.name, "nobody else may read it")
