"""The files of the viewer (OHIF, a built site), each at the root address that it is built for."""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import cast

from flask import current_app
from werkzeug.utils import send_file

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.settings import PREFIX
from imaging_fhir.web.compression import takes_gzip
from imaging_fhir.web.wsgi import Application, Environ, StartResponse

EXTENSION = "imaging_fhir.viewer"
PAGE, CONFIGURATION = "index.html", "app-config.js"
LEFT_OUT = {  # by us: written anew, or of no use without another network
    PAGE,
    CONFIGURATION,
    "sw.js",
    "init-service-worker.js",
}
WORKER = re.compile(r'<script[^>]* src="/init-service-worker\.js"></script>')
INLINE = re.compile(r"<script>(.+?)</script>", re.DOTALL)
NAMED_BY_CONTENT = re.compile(r"\.[0-9a-f]{16}\.js$|^[0-9a-f]{16}\.")
DAY = 24 * 3600
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}


@dataclass(frozen=True)
class ViewerSite:
    folder: Path

    @classmethod
    def of(cls, folder: str) -> "ViewerSite | None":
        """None where no folder is set; raise InvalidSetting where there is no viewer in it."""
        if not folder:
            return None
        site = cls(Path(folder).absolute())
        if f'src="/{CONFIGURATION}"' not in site.page:
            raise InvalidSetting(
                f"{PREFIX}VIEWER_DIR {folder} is not the `dist` folder of the OHIF viewer: its "
                f"{PAGE} is missing, or loads no {CONFIGURATION}."
            )
        return site

    @cached_property
    def files(self) -> dict[str, Path]:
        """By address. What is not listed here is not served, whatever an address says."""
        found = {path.relative_to(self.folder).as_posix(): path for path in self.everything()}
        return {
            f"/{name}": path
            for name, path in found.items()
            if name not in LEFT_OUT and not name.endswith(".gz")
        }

    def everything(self) -> Iterable[Path]:
        return (path for path in self.folder.rglob("*") if path.is_file())

    @cached_property
    def page(self) -> str:
        """index.html as it is, without the service worker, which would outlive the visit."""
        try:
            return WORKER.sub("", (self.folder / PAGE).read_text(encoding="utf-8"))
        except OSError:
            return ""

    @cached_property
    def script_hashes(self) -> tuple[str, ...]:
        """Of the scripts that stand in the page, as a Content-Security-Policy lists them."""
        digests = (sha256(script.encode()).digest() for script in INLINE.findall(self.page))
        return tuple(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)


class ViewerFiles:
    """WSGI: the viewer's files. They hold nobody's data; all else is the application's."""

    def __init__(self, application: Application, site: ViewerSite) -> None:
        self.application = application
        self.files = site.files

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = self.files.get(environ["PATH_INFO"])
        if path is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self.application(environ, start_response)
        packed = path.with_name(f"{path.name}.gz")
        is_packed = takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")) and packed.exists()
        response = send_file(
            packed if is_packed else path,
            environ,
            mimetype=media_type(path),
            conditional=not is_packed,
            max_age=365 * DAY if NAMED_BY_CONTENT.search(path.name) else DAY,
        )
        # A worker goes by its own file's policy: OHIF's fetch, and make code (WebAssembly).
        response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
        response.headers["Vary"] = "Accept-Encoding"
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
        return response(environ, start_response)


def installed_viewer() -> ViewerSite | None:
    return cast(ViewerSite | None, current_app.extensions[EXTENSION])


def media_type(path: Path) -> str:
    return TYPES.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"
