"""Which resources of the EHR copies are kept of, and without which elements they are of no use.

In the order in which they are written: what is referred to comes first.
"""

NEEDED = {
    "Patient": {"identifier", "active", "name", "gender", "birthDate", "link"},
    "Practitioner": {"identifier", "name"},
    "Encounter": {"identifier", "status", "class", "subject", "period", "partOf"},
    "ServiceRequest": {"identifier", "status", "intent", "subject", "encounter"},
}
