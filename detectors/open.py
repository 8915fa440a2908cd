"""Opening a path that a person named: a folder is its tree, a file is the model that it belongs to.

A lone file is looked at by itself. Only when it names other files (the shards of an index, external data) is its folder
listed, and of that only the files of the same model are shown, with the links in its own folders. The path itself may be a
link; below it none is followed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from detectors.detection import Contents, detect, folder_of
from detectors.errors import TreeLimit, TreeUnavailable
from detectors.facts import Detection, ModelType, State
from detectors.local_tree import LocalTree
from detectors.scan import DETECTORS, Scan, scan, worst_state
from detectors.tree import FileTree, readable
from detectors.wrapped_tree import SubTree


@contextmanager
def open_path(
    path: str | os.PathLike[str], beneath: str | None = None, look: Callable[[FileTree], Scan] = scan
) -> Iterator[FileTree]:
    """Give the tree at *path* and close it afterwards.

    *beneath* is a folder that it must lie in, whatever is swapped for a link meanwhile; both are then absolute names without
    links, as `os.path.realpath` gives them. *look* scans a lone file, to tell whether it is a whole model by itself; where it
    is not, the first bytes of the files around it tell which belong to it.

    Raises:
        TreeUnavailable: there is nothing at *path*, or the storage did not answer.
        TreeChanged: a folder on the way from *beneath* was swapped for a link.
        Unreadable: it may not be read, is neither a folder nor a regular file, or does not lie in *beneath*.
        Exception: as *look*.
    """
    if not os.path.exists(path):
        raise TreeUnavailable("", f"{readable(os.fspath(path))}: there is nothing at this path")
    if not os.path.isfile(path):
        with LocalTree(path, beneath=beneath) as tree:
            yield tree
        return
    file = os.path.realpath(path)
    folder, name = os.path.split(file)
    with model_of_file(
        lambda: LocalTree.of_file(file, beneath), lambda: LocalTree(folder, beneath=beneath), name, look
    ) as tree:
        yield tree


@contextmanager
def model_of_file(
    open_alone: Callable[[], AbstractContextManager[FileTree]],
    open_around: Callable[[], AbstractContextManager[FileTree]],
    name: str,
    look: Callable[[FileTree], Scan] = scan,
) -> Iterator[FileTree]:
    """Give the tree of the model that a lone file belongs to: of the file alone where that is all of it.

    *open_around* opens the folder that the file *name* lies in, and is called only where the file is not a whole model.
    """
    with open_alone() as alone:
        if _is_whole(look(alone)):
            yield alone
            return
    with open_around() as around:
        yield _model_of(around, name)


def scan_path(path: str | os.PathLike[str], declared: ModelType | None = None) -> Scan:
    """Return the scan of what `open_path` opens. A file that is a whole model by itself is looked at once, not twice.

    Raises:
        TreeError: as `open_path` and `scan`.
    """
    if os.path.isfile(path) and declared is not ModelType.CUSTOM:  # declared custom, a part of a model passes for a whole one
        with LocalTree.of_file(os.path.realpath(path)) as alone:
            found = scan(alone, declared)
        if _is_whole(found):
            return found
    with open_path(path) as tree:
        return scan(tree, declared)


def _is_whole(found: Scan) -> bool:
    """Tell whether the scan of a lone file shows all of its model: it is complete, and not a folder with more in it."""
    return bool(found.models) and worst_state(found) is State.COMPLETE and all(model.detection.root for model in found.models)


def _model_of(around: FileTree, name: str) -> SubTree:
    """Return the tree of the model that the file *name* belongs to; of the file alone where it belongs to none."""
    try:
        found = detect(Contents(around, around.files()), DETECTORS)
    except TreeLimit:
        return SubTree(around, {name})
    model = next((detection for _, detection in found if name in detection.files), None)
    return SubTree(around, {name}) if model is None else SubTree(around, model.files, _own_folders(model))


def _own_folders(model: Detection) -> frozenset[str]:
    """Return the folders of *model*: the whole tree where it is one itself, else those below the top that it has files in."""
    if not model.root:
        return frozenset({""})
    return frozenset(folder_of(path) for path in model.files) - {""}
