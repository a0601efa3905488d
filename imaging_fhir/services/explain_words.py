"""The words of an explanation: which evidence each rule goes by, and what would change it."""

from collections.abc import Mapping

NUMBERS, DEMOGRAPHICS, SENDER = "patient-numbers", "demographics", "sender"
VISIT_NUMBERS, ORDERS, TIME = "visit-numbers", "accession-numbers", "time"
KIND, DECISION, EHR, STUDY, PATIENT = "kind", "decision", "ehr", "study", "patient"

USES: Mapping[str, tuple[str, ...]] = {  # kinds of evidence, by rule
    "decided": (DECISION,),
    "authoritative-source": (DECISION,),
    "decided-no-longer-holds": (DECISION,),
    "rejected": (DECISION,),
    "ehr-unavailable": (EHR,),
    "given-no-longer-holds": (SENDER,),
    "identifiers-conflict": (NUMBERS,),
    "patient-gone": (NUMBERS, SENDER),
    "demographics-disagree": (NUMBERS, SENDER, DEMOGRAPHICS),
    "given-patient-disagrees": (NUMBERS, SENDER),
    "given-patient-and-identifier": (NUMBERS, SENDER),
    "patient-identifier": (NUMBERS,),
    "sender-not-trusted": (NUMBERS, SENDER),
    "given-patient": (NUMBERS, SENDER),
    "no-identity": (KIND, SENDER),
    "provisional-emergency": (KIND, NUMBERS, DEMOGRAPHICS),
    "provisional-identifier": (KIND, NUMBERS),
    "provisional-alone": (KIND, NUMBERS),
    "switched-off": (),
    "study-of-another-patient": (STUDY,),
    "series-in-two-studies": (STUDY,),
    "rejected-by-note": (STUDY,),
    "sop-instance-uid-conflict": (STUDY,),
    "given-encounter": (SENDER, PATIENT),
    "visit-number-of-another-patient": (VISIT_NUMBERS, PATIENT),
    "visit-number-ambiguous": (VISIT_NUMBERS, PATIENT),
    "visit-number": (VISIT_NUMBERS, PATIENT),
    "visit-number-unknown": (VISIT_NUMBERS,),
    "order-of-another-patient": (ORDERS, PATIENT),
    "order-ambiguous": (ORDERS, PATIENT),
    "order": (ORDERS, PATIENT),
    "provisional-patient": (PATIENT,),
    "no-time": (TIME,),
    "location": (TIME, PATIENT),
    "period": (TIME, PATIENT),
    "near-period": (TIME, PATIENT),
    "period-ambiguous": (TIME, PATIENT),
    "no-visit": (TIME, PATIENT),
    "visit-of-another-patient": (PATIENT,),
    "no-evidence": (),
}

CHANGES: Mapping[str, str] = {
    "decided": "Another decision of a person ($link), or taking this one back ($undo).",
    "authoritative-source": "A decision of a person ($link), or taking this one back ($undo).",
    "decided-no-longer-holds": "A decision of a person on a Patient who is there ($link).",
    "rejected": "Taking the rejection back ($undo).",
    "ehr-unavailable": "An answer of the EHR.",
    "given-no-longer-holds": "The Patient or visit that the sender named, put right.",
    "identifiers-conflict": "A merge of these Patients, or their numbers put right; or a person "
    "($link).",
    "patient-gone": "The Patient back at the EHR; or a person ($link).",
    "demographics-disagree": "The Patient's name, birth date or sex put right; the file's put "
    "right and sent again; or a person ($link).",
    "given-patient-disagrees": "The file sent without the Patient, or with the one whose number it "
    "has; or a person ($link).",
    "given-patient-and-identifier": "Nothing but a merge, a person ($link), or news of the number.",
    "patient-identifier": "Nothing but a merge, a person ($link), or news of the number.",
    "sender-not-trusted": "The source in linking.trusted_sources of the site file; a number with "
    "an issuer in the file; or a person ($link).",
    "given-patient": "Nothing but a merge or a person ($link).",
    "no-identity": "The file sent again with `patient`, or `encounter`; or a person ($link).",
    "provisional-emergency": "A Patient with one of the numbers; a merge; or a person ($link).",
    "provisional-identifier": "A Patient with one of the numbers, who takes the place of the "
    "provisional one; a merge; or a person ($link).",
    "provisional-alone": "An issuer in the file that the site file knows and trusts, or "
    "`patient_id_system` of its source; `patient` from a trusted sender; a merge; or a person "
    "($link).",
    "switched-off": "The rule taken out of linking.off of the site file.",
    "study-of-another-patient": "A person who says whose this part of the study is ($link).",
    "series-in-two-studies": "A person, who says whose this image of the series is ($link).",
    "rejected-by-note": "A rejection note that names the note; or a person ($link).",
    "sop-instance-uid-conflict": "A person who decides which of the images is right.",
    "given-encounter": "The file sent with another `encounter`.",
    "visit-number-of-another-patient": "The visit's subject or number put right; or a person "
    "($link).",
    "visit-number-ambiguous": "One of these visits without the number.",
    "visit-number": "News of a visit with the number.",
    "visit-number-unknown": "An Encounter that has the number.",
    "order-of-another-patient": "The order's subject or its visit put right; or a person ($link).",
    "order-ambiguous": "Orders that lead to one visit.",
    "order": "A visit number in the file; or news of the order.",
    "provisional-patient": "A known Patient in place of the provisional one.",
    "no-time": "A visit number, or the day in the file.",
    "location": "A visit number or order in the file; news of a visit there at that time; or "
    "`location` of the source in the site file.",
    "period": "A visit number or order in the file; or news of a visit at that time.",
    "near-period": "A visit that covers the time; a visit number or order in the file.",
    "period-ambiguous": "A visit number or order in the file; or news of the visits.",
    "no-visit": "A visit of the patient at that time; linking.tolerance of the site file; a visit "
    "number or order in the file.",
    "visit-of-another-patient": "A visit of the patient.",
    "no-evidence": "A Patient: no visit is looked for before.",
}
