"""Find a package's data files in every kind of install."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from allegro_description.errors import ConfigError


def share_dir(package: str = 'allegro_description') -> Path:
    """Return the folder that holds the package's data (``hands/``, ``launch/``, ``config/`` …).

    Looked for in this order: the source tree around the imported package (editable installs have no data_files),
    each prefix on ``AMENT_PREFIX_PATH``, and the Python prefix (pip install).

    Raises:
        ConfigError: the package is nowhere; the message lists the places.
    """
    tried: list[Path] = []
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        source = Path(spec.origin).parent.parent
        tried.append(source)
        if (source / 'package.xml').is_file():
            return source
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    for prefix in [*prefixes, Path(sys.prefix)]:
        share = prefix / 'share' / package
        tried.append(share)
        if (share / 'package.xml').is_file():
            return share
    places = ', '.join(str(p) for p in tried)
    raise ConfigError(f'no data files of package {package!r}; looked in {places}. Reinstall the package.')
