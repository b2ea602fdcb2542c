"""The catalogue: every profile by name, read from the data files that ship with Berth.

It is read once, whole and strictly. A mistake in a file is a mistake of its author, not of a user: it is raised at
once, with file, field and value, rather than when somebody first asks for the profile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from berth.accel.profile import Make, Network, Profile
from berth.api.wire import Wire

_HERE = files("berth.accel")
Model = TypeVar("Model", bound=Wire)


class CatalogueError(Exception):
    """A data file that cannot be used; the message names file, field and value."""


class UnknownProfileError(Exception):
    """A profile that the catalogue does not have; the message lists near ones."""

    def __init__(self, name: str, known: Mapping[str, object]) -> None:
        near = get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)
        super().__init__(
            f"there is no profile {name} in the catalogue; did you mean {' or '.join(near)}? "
            "A device that it lacks can be written out under spec.accelerator"
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A profile and the make that it belongs to."""

    name: str
    profile: Profile
    make: Make


class _Networks(Wire):
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All profiles and all sources of topology labels, by name."""

    entries: Mapping[str, Entry]
    networks: Mapping[str, Network]

    @classmethod
    def load(
        cls, makes: Traversable = _HERE / "catalogue", networks: Traversable = _HERE / "networks.yaml"
    ) -> "Catalogue":
        """Read every `*.yaml` of a directory, and the networks; CatalogueError says what is wrong where."""
        known = {network.source: network for network in _read(networks, _Networks).networks}
        entries: dict[str, Entry] = {}
        for path in sorted(makes.iterdir(), key=lambda path: path.name):
            if not path.name.endswith(".yaml"):
                continue
            for entry in _entries(path, known):
                if entry.name in entries:
                    other = entries[entry.name].make.make
                    raise CatalogueError(f"{path.name}: profiles.{entry.name}: stands in {other}.yaml, too; rename one")
                entries[entry.name] = entry
        return cls(entries=entries, networks=known)

    def entry(self, name: str) -> Entry:
        """Return a profile with its make; UnknownProfileError lists near names."""
        if name not in self.entries:
            raise UnknownProfileError(name, self.entries)
        return self.entries[name]

    def profile(self, name: str) -> Profile:
        """Return a profile; UnknownProfileError lists near names."""
        return self.entry(name).profile

    def recognise(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the names of the profiles whose device a node with these labels has, whole."""
        return tuple(
            name for name, entry in self.entries.items() if any(hint.matches(labels) for hint in entry.profile.hints)
        )


def _entries(path: Traversable, networks: Mapping[str, Network]) -> Iterator[Entry]:
    make = _read(path, Make)
    if path.name != f"{make.make}.yaml":
        raise CatalogueError(f"{path.name}: make: is {make.make}; the file must be called {make.make}.yaml")
    for source in make.topology:
        if source not in networks:
            raise CatalogueError(f"{path.name}: topology: {source} is none of {', '.join(networks)}")
    for name, profile in make.profiles.items():
        yield Entry(name=name, profile=profile, make=make)


def _read(path: Traversable, model: type[Model]) -> Model:
    try:
        return model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise CatalogueError(f"{path.name}: is no YAML: {error}") from error
    except ValidationError as error:
        found = "; ".join(
            f"{_dotted(cause['loc'])}: {cause['msg']}, not {_brief(cause['input'])}" for cause in error.errors()
        )
        raise CatalogueError(f"{path.name}: {found}") from error


def _dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
