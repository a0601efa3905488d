"""The web application: the one place that knows every door."""

import gc
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Response

from imaging_fhir.images.decode import start_decoding
from imaging_fhir.jobs.worker import Worker
from imaging_fhir.logs import configure_logging
from imaging_fhir.services.composition import Services, build_services
from imaging_fhir.settings import Settings
from imaging_fhir.web import (
    asynchronous,
    authorization,
    binary,
    chart,
    definitions,
    dicomweb,
    dicomweb_bulk,
    dicomweb_frames,
    dicomweb_query,
    dicomweb_rendered,
    dicomweb_store,
    explain_link,
    fhir,
    fhir_operations,
    history,
    import_image,
    metadata,
    openapi,
    operations,
    patch,
    pictures,
    search,
    smart_configuration,
    viewer,
    viewer_query,
    viewer_site,
    wado_uri,
    worklist,
)
from imaging_fhir.web.allowed import allowed_methods
from imaging_fhir.web.authentication import OPEN_PATHS, require_authentication
from imaging_fhir.web.compression import Compression
from imaging_fhir.web.context import EXTENSION
from imaging_fhir.web.cors import with_cors
from imaging_fhir.web.errors import register_error_handlers
from imaging_fhir.web.fhir_pages import FhirPages
from imaging_fhir.web.fhir_xml import FhirXml
from imaging_fhir.web.gate import guard_doors
from imaging_fhir.web.observation import observe_requests
from imaging_fhir.web.plain_read import PlainReads
from imaging_fhir.web.plain_upload import PlainUploads
from imaging_fhir.web.posted_search import PostedSearches
from imaging_fhir.web.proxies import behind_proxies
from imaging_fhir.web.responses import Answer, no_content
from imaging_fhir.web.security_headers import SecurityHeaders
from imaging_fhir.web.viewer_site import ViewerFiles, ViewerSite
from imaging_fhir.web.wsgi import AsciiQuery

COLLECTOR_THRESHOLDS = (10_000, 20, 50)  # a request makes thousands of values, and frees them
ASYNC_THREADS = 2
BLUEPRINTS = (
    asynchronous.bp,
    import_image.bp,
    explain_link.bp,
    binary.bp,
    definitions.bp,
    fhir.bp,
    patch.bp,
    history.bp,
    fhir_operations.bp,
    search.bp,
    metadata.bp,
    smart_configuration.bp,
    authorization.bp,
    openapi.bp,
    dicomweb.bp,
    dicomweb_bulk.bp,
    dicomweb_frames.bp,
    dicomweb_rendered.bp,
    dicomweb_query.bp,
    dicomweb_store.bp,
    operations.bp,
    pictures.bp,
    wado_uri.bp,
    worklist.bp,
    viewer.bp,
    viewer_query.bp,
    chart.bp,
)


class Application(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view is a coroutine, which Flask would find out anew at each request."""
        return func

    def make_default_options_response(self) -> Response:
        """OPTIONS, of every address."""
        return no_content(headers={"Allow": ", ".join(allowed_methods())})


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application, and threads for background work beside it.

    With no settings given, those of the environment count.
    """
    settings = settings or Settings.from_environment(os.environ)
    configure_logging(settings.log_format, settings.log_level)
    services = build_services(settings)
    start_decoding()
    app = app_of(services)
    for worker in (*services.workers(), *async_workers(services, app)):
        worker.start()
    spare_the_collector()
    return app


def async_workers(services: Services, app: Flask) -> list[Worker]:
    """They ask the application itself; a long request does not keep the next one waiting."""
    work = partial(services.asynchronous.work, asynchronous.performing(app))
    return [Worker(work) for _ in range(ASYNC_THREADS)]


def spare_the_collector() -> None:
    """What was made by now stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def app_of(services: Services) -> Flask:
    app = Application(__name__, static_folder=None)
    app.response_class = Answer
    app.extensions[EXTENSION] = services
    observe_requests(app)
    require_authentication(app, services)
    guard_doors(app, services)
    app.before_request(asynchronous.answer_later)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    register_error_handlers(app)
    plain = PlainUploads(PlainReads(app.wsgi_app, services), services)
    in_xml = FhirXml(plain, max_bytes=services.settings.max_resource_bytes)
    shown = FhirPages(in_xml, app.jinja_env, services.base)
    compressed = Compression(PostedSearches(shown))
    opened = OPEN_PATHS if services.tokens else frozenset[str]()
    with_origins = with_cors(compressed, services.access, opened)
    app.wsgi_app = with_origins  # type: ignore[method-assign, assignment]
    show_viewer(app, ViewerSite.of(services.settings.viewer_dir))
    safe = SecurityHeaders(AsciiQuery(app.wsgi_app), services.settings)
    app.wsgi_app = behind_proxies(safe, services.settings)  # type: ignore[method-assign, assignment]
    return app


def show_viewer(app: Flask, site: ViewerSite | None) -> None:
    app.extensions[viewer_site.EXTENSION] = site
    app.jinja_env.globals["has_viewer"] = site is not None
    if site is not None:
        app.wsgi_app = ViewerFiles(app.wsgi_app, site)  # type: ignore[method-assign]


__all__ = ["Services", "app_of", "build_services", "create_app"]
