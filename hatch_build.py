"""Compiles the row decoder with Cython: as hatchling's build hook for wheels, or in place for a checkout.

    python hatch_build.py --inplace

Without Cython or a C compiler nothing fails: the same sources run uncompiled, slower, and `crossfade doctor` says so.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    Hook = BuildHookInterface[Any]
else:
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface as Hook
    except ImportError:  # the in-place build needs no hatchling
        Hook = object

ROOT = Path(__file__).resolve().parent
MODULES = ("sink", "forms", "temporals", "jsonb", "kernel", "json_text", "result_lines", "result_records", "runs")
"""Modules of sync/mysql that are compiled, all or none: compiled ones call each other's C functions."""
DIRECTIVES = {
    "language_level": "3",
    "annotation_typing": False,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "warn.unreachable": False,
}
INSTALLED = "crossfade/_app"
log = logging.getLogger("hatch_build")


class NotCompilable(Exception):
    """Cython or a C compiler is missing, or refuses the sources."""


def sources() -> list[Path]:
    """The Python sources that are compiled."""
    return [ROOT / "sync" / "mysql" / f"{name}.py" for name in MODULES]


def compile_into(target: Path) -> list[Path]:
    """Compile every module into `target` (a folder like the checkout's root); returns the extension modules.

    C files stay in a temporary folder. Raises NotCompilable.
    """
    try:
        build = import_module("Cython.Build")
        tools = import_module("setuptools")
        commands = import_module("setuptools.command.build_ext")
    except ImportError as error:
        raise NotCompilable(f"{error.name} is not installed") from error
    with tempfile.TemporaryDirectory(prefix="crossfade-build-") as scratch, contextlib.chdir(ROOT):
        try:
            extensions = build.cythonize(
                [
                    tools.Extension(
                        f"sync.mysql.{path.stem}", [str(path.relative_to(ROOT))], extra_compile_args=["-O3", "-g0"]
                    )
                    for path in sources()
                ],
                build_dir=scratch,
                compiler_directives=DIRECTIVES,
                quiet=True,
            )
            command = commands.build_ext(tools.Distribution({"name": "crossfade", "ext_modules": extensions}))
            command.build_lib, command.build_temp = str(target), scratch
            command.ensure_finalized()
            command.run()
            return [Path(path) for path in command.get_outputs()]
        except (Exception, SystemExit) as error:  # the compilers have no common error
            raise NotCompilable(str(error)) from error


def stale() -> bool:
    """Whether some module of the checkout has no compiled form, or one older than its source."""
    oldest = float("inf")
    for path in sources():
        oldest = min(oldest, max((b.stat().st_mtime for b in path.parent.glob(f"{path.stem}.*.so")), default=0.0))
    declarations = (ROOT / "sync" / "mysql").glob("*.pxd")
    return any(path.stat().st_mtime > oldest for path in (*sources(), *declarations, Path(__file__)))


def remove_inplace() -> None:
    """Remove compiled modules from the checkout: the sources run uncompiled."""
    for path in sources():
        for built in path.parent.glob(f"{path.stem}.*.so"):
            built.unlink()


def build_inplace() -> int:
    """Compile beside the sources what is older than they are. Exit code 0, also when it cannot be compiled."""
    if not stale():
        return 0
    with tempfile.TemporaryDirectory(prefix="crossfade-modules-") as folder:
        try:
            built = compile_into(Path(folder))
        except NotCompilable as error:
            remove_inplace()
            print(f"the decoder stays uncompiled: {error}", file=sys.stderr)  # noqa: T201
            return 0
        for path in built:
            beside = ROOT / path.relative_to(folder)
            # Renamed into place: a process that has the old file loaded keeps it.
            shutil.copy2(path, beside.with_suffix(".new"))
            beside.with_suffix(".new").replace(beside)
    return 0


class KernelBuildHook(Hook):
    """Puts the compiled modules into the wheel beside their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile for a standard wheel; an editable install is compiled in place."""
        if self.target_name != "wheel":
            return
        if version == "editable":
            build_inplace()
            return
        self._folder = tempfile.mkdtemp(prefix="crossfade-wheel-")
        try:
            built = compile_into(Path(self._folder))
        except NotCompilable as error:
            log.warning("the decoder stays uncompiled: %s", error)
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in built:
            build_data["force_include"][str(path)] = f"{INSTALLED}/{path.relative_to(self._folder)}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        shutil.rmtree(getattr(self, "_folder", ""), ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compile the row decoder.")
    parser.add_argument("--inplace", action="store_true", required=True, help="beside the sources of this checkout")
    parser.parse_args()
    sys.exit(build_inplace())
