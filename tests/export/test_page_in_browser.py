"""The page in a real browser: what it segments is what predict-onnx segments, and what it refuses, it refuses in a sentence."""

import gzip
import json
import queue
import shutil
import struct
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from nnunetv2_ext.export.web import export_page
from nnunetv2_ext.runtime.predictor import Predictor
from tests.comparison.test_page import BROWSERS, FLAGS
from tests.export.models import Model, make_model, write_image

pytest.importorskip("onnxscript")

# The viewer draws without a GPU, and no name leads anywhere.
MORE_FLAGS = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
MODEL = Model(mirror_axes=(0, 2), transpose=(2, 0, 1), configuration={"spacing": [1.1, 1.3, 0.8]})
# A worker that tries to send something away when it is told to, and tells what the browser says to that.
UPLOAD = """
const upload = new BroadcastChannel('upload');
upload.addEventListener('message', () => fetch('http://example.org', {method: 'POST', mode: 'no-cors'}).catch(() => {}));
self.addEventListener('securitypolicyviolation', ({violatedDirective}) => upload.postMessage(violatedDirective));
"""
TIMES = "\N{MULTIPLICATION SIGN}"
REFUSED = {
    "notes.nii.gz": "notes.nii.gz is not a NIfTI image. Choose a .nii or .nii.gz file.",
    "photo.png": "photo.png is not a NIfTI image. Choose a .nii or .nii.gz file.",
    "series.nii.gz": (
        f"series.nii.gz has 4 dimensions (4 {TIMES} 5 {TIMES} 6 {TIMES} 2), need 3: save one volume of it as a file."
    ),
    "huge.nii.gz": (
        f"This image is too large for a browser: 3000 {TIMES} 2000 {TIMES} 1000 voxels take about 317.8 GB, and a page has "
        "4 GB. Use nnUNetv2_ext predict-onnx."
    ),
    "cut_off.nii.gz": "cut_off.nii.gz ends too early: part of the image is missing. Copy or download it again.",
}


@pytest.mark.slow
def test_segments_as_predict_onnx(tmp_path, monkeypatch):
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser is installed: looked for {', '.join(BROWSERS)}")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, which fetches what the page needs")
    trained = make_model(MODEL, tmp_path, monkeypatch)
    export_page(trained, tmp_path / "page")
    with (tmp_path / "page" / "worker.js").open("a") as worker:
        worker.write(UPLOAD)
    (file,) = write_image(tmp_path / "images", "case", (11, 12, 14), (1.0, 1.0, 1.0))
    write_what_is_refused(tmp_path / "images", file)
    (tmp_path / "refused.json").write_text(json.dumps(list(REFUSED)))
    shutil.copy(Path(__file__).with_name("drive_page.html"), tmp_path)

    told = drive(browser, tmp_path)
    said = json.loads(told["/said"])
    assert {name: said[name] for name in REFUSED} == REFUSED
    assert said["two files"] == "Got 2 files, need 1 together: one per channel of the image."
    assert said["refused"] == ""
    assert said["status"].startswith("Done in ")
    assert (said["title"], said["purpose"]) == ("Noise", "Segments organ and lesion in 3D images.")
    assert said["save"] == "case_segmentation.nii.gz"
    assert said["viewer_starts"]
    for sender in ("page", "worker"):
        assert said[f"upload by the {sender}"] == "connect-src", "the browser lets nothing be sent to another place"

    (tmp_path / "mask.nii.gz").write_bytes(told["/mask"])
    Predictor(tmp_path / "page", threads=1).predict_files([file], tmp_path / "expected.nii.gz")
    mask, expected, image = (
        SimpleITK.ReadImage(str(some)) for some in (tmp_path / "mask.nii.gz", tmp_path / "expected.nii.gz", file)
    )
    labels = SimpleITK.GetArrayFromImage(expected)
    assert set(np.unique(labels)) == {0, 1, 2}
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(mask), labels)
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(mask, what)() == getattr(image, what)()
    volumes = [f"{(labels == label).sum() / 1000:.3g} ml" for label in (1, 2)]
    assert said["legend"] == f"organ{volumes[0]}lesion{volumes[1]}"


def write_what_is_refused(folder, image):
    """Files that the page can't take."""
    (folder / "notes.nii.gz").write_bytes(gzip.compress(b"no image, " * 50))
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    series = SimpleITK.GetImageFromArray(np.zeros((2, 6, 5, 4), np.int16), isVector=False)
    SimpleITK.WriteImage(series, str(folder / "series.nii.gz"))
    content = gzip.decompress(image.read_bytes())
    sizes = struct.pack("<4h", 3, 3000, 2000, 1000)
    (folder / "huge.nii.gz").write_bytes(gzip.compress(content[:40] + sizes + content[48:352]))
    (folder / "cut_off.nii.gz").write_bytes(image.read_bytes()[:-600])


def drive(browser, root):
    """What drive_page.html tells, in a browser, while a server like ``python -m http.server`` shows it the folder."""
    told = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self):
            told.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            """Keeps requests to itself."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=root)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [browser, *FLAGS.split(), *MORE_FLAGS, f"--user-data-dir={root / 'profile'}"]
        page = f"http://127.0.0.1:{server.server_port}/drive_page.html"
        process = subprocess.Popen([*command, page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        threading.Thread(target=lambda: told.put(("/ended", str(process.wait()).encode())), daemon=True).start()
        found = {}
        try:
            while "/said" not in found:
                what, content = told.get()
                assert what not in {"/failed", "/ended"}, f"the browser {what[1:]}: {content.decode()}"
                found[what] = content
        finally:
            process.terminate()
            process.wait()
            server.shutdown()
        return found
