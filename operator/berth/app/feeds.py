"""What fills the mirror by reflectors: Nodes, pods and PriorityClasses.

Which objects these are, and to what each is reduced when it arrives, stands in `cluster.sources`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from berth.cluster import sources
from berth.cluster.mirror import Key, Mirror
from berth.cluster.project import OwnPod
from berth.cluster.sources import Source
from berth.kube.client import ApiClient
from berth.kube.reflector import Reflector, Sink

T = TypeVar("T")


class MirrorSink(Generic[T]):
    """Feeds one kind into the mirror. After a full list, what it had and the list has not is dropped."""

    def __init__(self, put: Callable[[Key, T], None], drop: Callable[[Key], None]) -> None:
        self._put = put
        self._drop = drop
        self._known: set[Key] = set()

    def replace(self, items: Mapping[Key, T], resource_version: str) -> None:
        """All there is."""
        for key in self._vanished(items, int(resource_version)):
            self.remove(key)
        for key, value in items.items():
            self.upsert(key, value)

    def upsert(self, key: Key, value: T) -> None:
        """One object, new or changed."""
        self._known.add(key)
        self._put(key, value)

    def remove(self, key: Key) -> None:
        """One object is gone."""
        self._known.discard(key)
        self._drop(key)

    def _vanished(self, items: Mapping[Key, T], _listed_at: int) -> list[Key]:
        return [key for key in self._known if key not in items]


class OwnPodSink(MirrorSink[OwnPod]):
    """The same for Berth's own pods, which answers to creations put into the mirror, too.

    A pod that was created after the list was taken is not on it, and is not gone for that.
    """

    def __init__(self, mirror: Mirror) -> None:
        super().__init__(mirror.put_own_pod, mirror.drop_own_pod)
        self._mirror = mirror

    def replace(self, items: Mapping[Key, OwnPod], resource_version: str) -> None:
        """All there is."""
        self._mirror.own_pods_listed(int(resource_version))
        super().replace(items, resource_version)

    def _vanished(self, items: Mapping[Key, OwnPod], listed_at: int) -> list[Key]:
        there = self._mirror.own_pods()
        return [key for key, own in there.items() if key not in items and own.version <= listed_at]


class PriorityClassSink:
    """PriorityClasses are few: any change hands over all of them."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._classes: dict[str, tuple[int, bool]] = {}

    def replace(self, items: Mapping[Key, tuple[int, bool]], resource_version: str) -> None:
        """All there is."""
        del resource_version
        self._classes = {name: value for (_, name), value in items.items()}
        self._mirror.set_priority_classes(self._classes)

    def upsert(self, key: Key, value: tuple[int, bool]) -> None:
        """One class, new or changed."""
        self._classes[key[1]] = value
        self._mirror.set_priority_classes(self._classes)

    def remove(self, key: Key) -> None:
        """One class is gone."""
        self._classes.pop(key[1], None)
        self._mirror.set_priority_classes(self._classes)


def reflectors(client: ApiClient, mirror: Mirror) -> list[Reflector[Any]]:
    """The reflectors that the mirror needs; none is running yet."""
    return [
        _reflector(client, sources.NODES, MirrorSink(mirror.put_node, mirror.drop_node)),
        _reflector(client, sources.OWN_PODS, OwnPodSink(mirror)),
        _reflector(client, sources.FOREIGN_PODS, MirrorSink(mirror.put_foreign_pod, mirror.drop_foreign_pod)),
        _reflector(client, sources.PRIORITY_CLASSES, PriorityClassSink(mirror)),
    ]


def _reflector(client: ApiClient, source: Source[T], sink: Sink[T]) -> Reflector[T]:
    return Reflector(
        client,
        source.resource,
        name=source.name,
        project=source.project,
        sink=sink,
        label_selector=source.label_selector,
        field_selector=source.field_selector,
    )
