"""What the page needs of others: onnxruntime-web, which runs the network, and NiiVue, which shows images.

npm fetches them when a page is exported, in the versions and with the checksums of ``package-lock.json``. They aren't part of
this package: they would make it many times as large, for a page that few export.
"""

import json
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from nnunetv2_ext.errors import ExportError

PACKAGE_FILES = ("package.json", "package-lock.json")
LICENCES = "licences"
FILES = (*PACKAGE_FILES, LICENCES)
"""what of the page's sources is for npm and for this module, and not copied"""

VENDOR = {
    "onnxruntime-web/dist/ort.wasm.bundle.min.mjs": "onnxruntime/ort.wasm.bundle.min.js",  # some servers don't know .mjs
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm": "onnxruntime/ort-wasm-simd-threaded.wasm",
    "@niivue/niivue/dist/niivue.umd.js": "niivue/niivue.js",
}
"""files below ``node_modules``, and what they are below ``vendor``"""

ONLY_FOR_BUILDING = ("@types/", "undici-types", "reference-spec-reader")


def copy_packages(sources: Path, folder: Path) -> None:
    """Writes ``vendor`` and ``LICENSES.txt`` to a folder.

    Args:
        sources: has ``package.json``, ``package-lock.json`` and the licences that the packages lack.
        folder: where the page is written.

    Raises:
        ExportError: if npm isn't installed, or can't fetch the packages.
    """
    with TemporaryDirectory() as temporary:
        for name in PACKAGE_FILES:
            shutil.copy(sources / name, temporary)
        _install(Path(temporary))
        modules = Path(temporary, "node_modules")
        for source, target in VENDOR.items():
            written = folder / "vendor" / target
            written.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(modules / source, written)
        (folder / "LICENSES.txt").write_text(_licences(modules, sources / LICENCES), encoding="utf-8")


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ExportError(
            "npm is not installed, and fetches what the page runs the network with and shows images with: install Node.js, "
            "which has it, and export again. Who opens the page doesn't need it."
        )
    # No script of a package runs. What npm fetched before, it takes from its cache.
    command = [npm, "ci", "--ignore-scripts", "--omit=optional", "--prefer-offline", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.removeprefix("npm error").strip() for line in done.stderr.splitlines() if line.startswith("npm error")]
        reason = next((line for line in lines if line and not line.startswith("code ")), f"exit status {done.returncode}")
        raise ExportError(
            f"npm could not fetch onnxruntime-web and NiiVue ({reason}): check that this machine reaches npm's registry, and "
            "export again"
        )


def _licences(modules: Path, ours: Path) -> str:
    """The licences of all packages that are in the files of ``VENDOR``."""
    parts = []
    for description in sorted([*modules.glob("*/package.json"), *modules.glob("@*/*/package.json")]):
        package = json.loads(description.read_text(encoding="utf-8"))
        if package["name"].startswith(ONLY_FOR_BUILDING):
            continue
        texts = [file for file in description.parent.iterdir() if file.name.lower().startswith(("license", "licence"))]
        texts = texts or [ours / f"{package['name'].replace('/', '_')}.txt"]
        text = texts[0].read_text(encoding="utf-8") if texts[0].is_file() else f"Author: {package.get('author', 'unknown')}"
        parts.append(f"{package['name']} {package['version']}, licence {package['license']}\n\n{text.strip()}\n")
    return f"\n{'-' * 80}\n\n".join(parts)
