"""The unit of deployment: a folder with `manifest.json` and the files it names. Never imports torch."""

from edgeconsole.bundle.folder import Bundle
from edgeconsole.bundle.manifest import BundleFile, Manifest, Task

__all__ = ["Bundle", "BundleFile", "Manifest", "Task"]
