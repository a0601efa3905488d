"""What each address asks of whoever comes, in one table: an address that is not in it is closed.

Most addresses ask the policy where they read and write, by filter in the query (`ASKS_ITSELF`).
What is shown or changed without such a filter is for those alone to whom the types that it is
about are open as a whole: the staff (`WHOLE`). See docs/access.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Flask, request

from imaging_fhir.errors import AccessDenied
from imaging_fhir.services.composition import Services
from imaging_fhir.web.authentication import SIGN_IN
from imaging_fhir.web.context import caller, services

CHART = ("Patient", "Encounter", "ImagingStudy", "DocumentReference")
OTHERS_OF_CHART = ("DiagnosticReport", "ServiceRequest")


@dataclass(frozen=True, slots=True)
class Whole:
    """Every resource of these types is to be open, for each of the letters."""

    letters: str
    types: tuple[str, ...]


OPEN = "open"  # to everybody, or to whoever has signed in: it tells of no patient
ASKS_ITSELF = "asks"  # the policy, for the resources at hand
Rule = str | Whole
READ_CHART = Whole("rs", CHART)
READ_WORKLIST = Whole("rs", (*CHART, "Task"))
CORRECT = Whole("u", ("ImagingStudy", "DocumentReference"))
RULES: Mapping[str, Rule] = {
    "asynchronous.cancel": ASKS_ITSELF,
    "asynchronous.status": ASKS_ITSELF,
    "binary.create": ASKS_ITSELF,
    "binary.read": ASKS_ITSELF,
    "binary.update": ASKS_ITSELF,
    "binary.vread": ASKS_ITSELF,
    "chart.document": READ_CHART,
    "chart.find_patients": READ_WORKLIST,
    "chart.nothing": OPEN,
    "chart.patient": Whole("rs", (*CHART, *OTHERS_OF_CHART)),
    "chart.patients": READ_WORKLIST,
    "chart.root": OPEN,
    "chart.series": Whole("rs", (*CHART, "DiagnosticReport")),
    "chart.static_file": OPEN,
    "chart.study": Whole("rs", (*CHART, *OTHERS_OF_CHART)),
    "definitions.readOperationDefinition": OPEN,
    "definitions.readSearchParameter": OPEN,
    "definitions.readStructureDefinition": OPEN,
    "definitions.searchOperationDefinition": OPEN,
    "definitions.searchOperationDefinitionByPost": OPEN,
    "definitions.searchSearchParameter": OPEN,
    "definitions.searchSearchParameterByPost": OPEN,
    "definitions.searchStructureDefinition": OPEN,
    "definitions.searchStructureDefinitionByPost": OPEN,
    "dicomweb.retrieve_instances": ASKS_ITSELF,
    "dicomweb.retrieve_metadata": ASKS_ITSELF,
    "dicomweb_bulk.retrieve_bulk_data": ASKS_ITSELF,
    "dicomweb_frames.retrieve_frames": ASKS_ITSELF,
    "dicomweb_query.search_for_instances": ASKS_ITSELF,
    "dicomweb_query.search_for_series": ASKS_ITSELF,
    "dicomweb_query.search_for_studies": ASKS_ITSELF,
    "dicomweb_rendered.retrieve_rendered_frames": ASKS_ITSELF,
    "dicomweb_rendered.retrieve_rendered_instance": ASKS_ITSELF,
    "dicomweb_rendered.retrieve_rendered_representative": ASKS_ITSELF,
    "dicomweb_rendered.retrieve_thumbnail_of_frames": ASKS_ITSELF,
    "dicomweb_rendered.retrieve_thumbnail_of_instance": ASKS_ITSELF,
    "dicomweb_rendered.retrieve_thumbnail_of_representative": ASKS_ITSELF,
    "dicomweb_store.store_instances": ASKS_ITSELF,
    "explain_link.explain_link": READ_CHART,
    "fhir.batch": ASKS_ITSELF,
    "fhir.create": ASKS_ITSELF,
    "fhir.delete": ASKS_ITSELF,
    "fhir.delete_where": ASKS_ITSELF,
    "fhir.read": ASKS_ITSELF,
    "fhir.update": ASKS_ITSELF,
    "fhir.update_where": ASKS_ITSELF,
    "fhir.vread": ASKS_ITSELF,
    "fhir_operations.at_instance": ASKS_ITSELF,
    "fhir_operations.at_system": ASKS_ITSELF,
    "fhir_operations.at_type": ASKS_ITSELF,
    "history.history_of_everything": ASKS_ITSELF,
    "history.history_of_resource": ASKS_ITSELF,
    "history.history_of_type": ASKS_ITSELF,
    "import_image.import_image": ASKS_ITSELF,
    "metadata.metadata": OPEN,
    "openapi.docs": OPEN,
    "openapi.document": OPEN,
    "operations.healthz": OPEN,
    "operations.metrics": OPEN,
    "operations.readyz": OPEN,
    "patch.patch": ASKS_ITSELF,
    "patch.patch_where": ASKS_ITSELF,
    "pictures.preview_of_binary": ASKS_ITSELF,
    "pictures.preview_of_document": READ_CHART,
    "pictures.preview_of_series": READ_CHART,
    "pictures.thumbnail_of_binary": ASKS_ITSELF,
    "pictures.thumbnail_of_document": READ_CHART,
    "pictures.thumbnail_of_held": READ_WORKLIST,
    "pictures.thumbnail_of_series": READ_CHART,
    "search.search": ASKS_ITSELF,
    "search.search_compartment": ASKS_ITSELF,
    "search.search_system": ASKS_ITSELF,
    "search.search_whole_compartment": ASKS_ITSELF,
    "viewer.configuration": ASKS_ITSELF,
    "viewer.invoke_image_display": ASKS_ITSELF,
    "viewer.viewer": ASKS_ITSELF,
    "viewer_query.search_for_instances": ASKS_ITSELF,
    "viewer_query.search_for_series": ASKS_ITSELF,
    "viewer_query.search_for_studies": ASKS_ITSELF,
    "wado_uri.retrieve_by_parameters": ASKS_ITSELF,
    "worklist.choose_images": READ_WORKLIST,
    "worklist.close_review": READ_WORKLIST,
    "worklist.correction": READ_WORKLIST,
    "worklist.decide_many": READ_WORKLIST,
    "worklist.file": READ_WORKLIST,
    "worklist.file_to_new_patient": READ_WORKLIST,
    "worklist.find_candidates": READ_WORKLIST,
    "worklist.held": READ_WORKLIST,
    "worklist.held_item": READ_WORKLIST,
    "worklist.move": READ_WORKLIST,
    "worklist.move_images": READ_WORKLIST,
    "worklist.reject": READ_WORKLIST,
    "worklist.undo": READ_WORKLIST,
}
OPERATIONS: Mapping[str, Rule] = {  # beside the interaction that each is, by its code
    "everything": ASKS_ITSELF,
    "docref": ASKS_ITSELF,
    "validate": ASKS_ITSELF,
    "meta": ASKS_ITSELF,
    "meta-add": ASKS_ITSELF,
    "meta-delete": ASKS_ITSELF,
    "match": ASKS_ITSELF,
    "status": ASKS_ITSELF,
    "events": ASKS_ITSELF,
    "link": CORRECT,
    "reject": CORRECT,
    "undo": CORRECT,
    "merge": Whole("u", ("Patient", "ImagingStudy", "DocumentReference")),
    "explain-link": READ_CHART,
}


def guard_doors(app: Flask, known: Services) -> None:
    """Where nobody need sign in, nothing is asked."""
    if known.settings.auth == "smart":
        app.before_request(require_allowed)


def require_allowed() -> None:
    """Raise AccessDenied, Unauthenticated."""
    endpoint = request.endpoint
    if endpoint is None or request.method == "OPTIONS" or request.path.startswith(SIGN_IN):
        return
    require_rule(RULES.get(endpoint))


def require_operation(code: str) -> None:
    require_rule(OPERATIONS.get(code))


def require_rule(rule: Rule | None) -> None:
    if isinstance(rule, Whole):
        services().access.require_whole(caller(), rule.letters, *rule.types)
    elif rule is None and not services().access.is_open(caller()):
        raise AccessDenied("Nothing is said here of who may do this.")
